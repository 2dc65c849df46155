#!/usr/bin/env bash
# A virtual machine with a camera and a sound card, for tests that need real devices.
#
#   guest.sh prepare                                        download the kernel, pack the initramfs
#   guest.sh run [--share DIR] [--timeout S] -- COMMAND...  run COMMAND in the guest
#
# The guest is QEMU with Debian's kernel, which has two drivers for virtual devices: `vivid`, a V4L2
# camera with a moving test pattern, and `snd-aloop`, an ALSA card that captures what it plays. The
# guest sees this machine's files, so that programs built here run there unchanged. What it writes
# is lost when it ends, except in DIR, which is shared under the same path.
#
# `run` exits with COMMAND's status, with 125 if the guest did not start, and with 124 after a
# timeout.
set -euo pipefail
export PATH="$PATH:/sbin:/usr/sbin"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${TANDEM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem}/guest"
kernel="$cache/kernel"
initramfs="$cache/initramfs.img"

# The modules that the guest loads, with parameters. The transport gives access to this machine's
# files and comes first.
transport=(virtio_pci 9pnet_virtio 9p overlay)
devices=('vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0' 'snd-aloop pcm_substreams=2')

say() { echo "guest: $*" >&2; }
fail() {
    say "$1"
    exit 125
}

# The newest kernel package in the package lists, so that no version is fixed here.
newest_package() {
    apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1
}

fetch_kernel() {
    [ -e "$kernel/release" ] && return
    local package part="$kernel.part" release
    package=$(newest_package)
    if [ -z "$package" ] || ! apt-get download --print-uris "$package" >/dev/null 2>&1; then
        say 'refreshing the package lists'
        apt-get update -qq </dev/null || true
        package=$(newest_package)
    fi
    [ -n "$package" ] || fail 'no package linux-image-amd64 found: the guest needs Debian'
    say "unpacking $package (it is not installed)"
    rm -rf "$part" "$kernel"
    mkdir -p "$part/download"
    (cd "$part/download" && apt-get download -qq "$package") || fail "$package cannot be downloaded"
    dpkg-deb -x "$part"/download/*.deb "$part"
    rm -rf "$part/download"
    release=$(ls "$part/lib/modules")
    depmod -b "$part" "$release"
    echo "$release" > "$part/release"
    mv "$part" "$kernel"
}

# Copies a module and its dependencies to folder $1, and appends them to $1/order, one per line, in
# the order of loading. $2 is the stage; the module's name and parameters follow.
add_module() {
    local folder=$1 stage=$2 name=$3 file module
    shift 3
    modprobe -d "$kernel" -S "$(< "$kernel/release")" --show-depends "$name" | sed -n 's/^insmod \([^ ]*\).*/\1/p' |
        while read -r file; do
            module=$(basename "${file%.xz}")
            [ -e "$folder/$module" ] && continue
            case $file in
                *.xz) xz -dc "$file" > "$folder/$module" ;;
                *) cp "$file" "$folder/$module" ;;
            esac
            if [ "$module" = "$name.ko" ]; then echo "$stage $module $*"; else echo "$stage $module"; fi >> "$folder/order"
        done
}

pack_initramfs() {
    [ "$initramfs" -nt "${BASH_SOURCE[0]}" ] && [ "$initramfs" -nt "$here/guest-init" ] && return
    local tree line
    tree=$(mktemp -d)
    mkdir -p "$tree"/{bin,dev,proc,sys,host,upper,root,modules}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    for line in "${transport[@]}"; do add_module "$tree/modules" transport "$line"; done
    # Unquoted on purpose: name and parameters are separate words.
    for line in "${devices[@]}"; do add_module "$tree/modules" device $line; done
    install -m 755 "$here/guest-init" "$tree/init"
    (cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) > "$initramfs.part"
    rm -rf "$tree"
    mv "$initramfs.part" "$initramfs"
}

prepare() {
    mkdir -p "$cache"
    # The lock lets only one of several tests that start together prepare.
    exec 9> "$cache/lock"
    flock 9
    fetch_kernel
    pack_initramfs
    exec 9>&-
}

run() {
    local share='' seconds=120
    while [ $# -gt 0 ]; do
        case $1 in
            --share) share=$(realpath "$2"); shift 2 ;;
            --timeout) seconds=$2; shift 2 ;;
            --) shift; break ;;
            *) fail "unknown option $1" ;;
        esac
    done
    [ $# -gt 0 ] || fail 'no command given'
    prepare

    local control status=125
    control=$(mktemp -d)
    trap "rm -rf '$control'" EXIT
    printf 'share=%q\n' "$share" > "$control/settings"
    {
        printf 'export PATH=%q HOME=/root TERM=dumb\ncd %q\n' "$PATH" "$PWD"
        printf '%q ' "$@"
    } > "$control/command"

    folder() { echo "local,id=$1,path=$2,readonly=$3,security_model=none,multidevs=remap"; }
    local options=(
        # Software emulation works on every host. Inside a virtual machine there is often nothing
        # else. The guest's clock counts instructions, 2 ns each: on a slow host a call takes longer,
        # but it does not lose audio or frames. While the guest is idle its clock keeps real time
        # (sleep=on): were it to jump ahead, waiting for the host's disk would use up its timeouts.
        # With more than one processor QEMU 7.2 does not get through the boot this way.
        -machine q35 -accel tcg,thread=single -icount shift=1,sleep=on -cpu max -m 1536 -smp 1
        -kernel "$kernel/boot/vmlinuz-$(< "$kernel/release")" -initrd "$initramfs"
        -append 'console=ttyS0 quiet loglevel=3 panic=-1 tsc=reliable'
        -nodefaults -no-user-config -display none -no-reboot -serial stdio
        -fsdev "$(folder files / on)" -device virtio-9p-pci,fsdev=files,mount_tag=files
        -fsdev "$(folder control "$control" off)" -device virtio-9p-pci,fsdev=control,mount_tag=control
    )
    if [ -n "$share" ]; then
        options+=(-fsdev "$(folder share "$share" off)" -device virtio-9p-pci,fsdev=share,mount_tag=share)
    fi
    # The command's output comes from the guest's serial console, which ends lines with CR LF.
    set +e
    timeout --kill-after 5 "$seconds" qemu-system-x86_64 "${options[@]}" </dev/null | sed -u 's/\r$//; /reboot: Power down/d'
    local emulator=${PIPESTATUS[0]}
    [ -e "$control/status" ] && status=$(< "$control/status")
    if [ "$emulator" = 124 ] || [ "$emulator" = 137 ]; then
        say "timed out after $seconds s"
        status=124
    fi
    exit "$status"
}

action=${1:-}
shift || true
case $action in
    prepare) prepare ;;
    run) run "$@" ;;
    *) fail 'the first argument must be prepare or run' ;;
esac
