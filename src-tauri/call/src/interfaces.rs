//! The network interfaces of this machine.

/// Names of interfaces to containers, virtual machines and VPNs begin like this.
const VIRTUAL: [&str; 30] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vnet",
    "vmnet",
    "vmenet",
    "vmware",
    "vbox",
    "virtualbox",
    "hyper-v",
    "vethernet",
    "lxc",
    "lxdbr",
    "podman",
    "cni",
    "cali",
    "flannel",
    "tun",
    "tap",
    "wg",
    "utun",
    "ipsec",
    "ppp",
    "tailscale",
    "zt",
    "zerotier",
    "openvpn",
    // Apple's links to phones and watches, and its virtual machines.
    "awdl",
    "llw",
];

/// Whether the interface of this name leads to containers, virtual machines or a VPN: the people
/// nearby are not behind it.
#[must_use]
pub fn is_virtual(name: &str) -> bool {
    let name = name.to_lowercase();
    VIRTUAL.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_of_containers_and_vpns_are_virtual() {
        for name in [
            "docker0",
            "br-5f3c",
            "veth1a2b",
            "VirBr0",
            "tun0",
            "wg0",
            "utun4",
            "vEthernet (Default Switch)",
            "VMware Network Adapter VMnet8",
            "tailscale0",
            "zt5u4y6ejv",
            "awdl0",
        ] {
            assert!(is_virtual(name), "{name}");
        }

        for name in [
            "eth0",
            "enp3s0",
            "wlan0",
            "en0",
            "Wi-Fi",
            "Ethernet 2",
            "br0",
        ] {
            assert!(!is_virtual(name), "{name}");
        }
    }
}
