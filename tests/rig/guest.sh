#!/usr/bin/env bash
# A guest machine with a camera and a sound card, for tests that need real devices and have none.
#
#   guest.sh prepare                                           fetch the kernel, pack the initramfs
#   guest.sh run [--share DIR] [--timeout S] -- COMMAND...     run COMMAND in the guest
#
# The guest is QEMU with Debian's own kernel, which brings two drivers for devices that are not there: `vivid`, a V4L2
# camera with a moving test picture, and `snd-aloop`, an ALSA card whose playback comes back as capture. It sees this
# machine's files read-only (what it writes is gone when it ends), and DIR, under the same path, for writing.
# Programs built here therefore run there as they are.
#
# The status of `run` is COMMAND's; 125 means that the guest did not come up, 124 that it took too long.
set -euo pipefail
export PATH="$PATH:/sbin:/usr/sbin"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache="${TANDEM_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem}/guest"
kernel="$cache/kernel"
initramfs="$cache/initramfs.img"

# What the guest loads, with parameters. The transport is what reaches this machine's files; it is loaded first.
transport=(virtio_pci 9pnet_virtio 9p overlay)
devices=('vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0x0' 'snd-aloop pcm_substreams=2')

say() { echo "guest: $*" >&2; }
fail() {
    say "$1"
    exit 125
}

# The newest kernel package that the package lists know, without a name of ours in it.
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
    [ -n "$package" ] || fail 'no package linux-image-amd64 here: the guest needs Debian'
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

# Copies a module and all that it needs to folder $1, and notes in $1/order what to load, one line each, in order.
# $2 is the stage, the rest the module's name and its parameters.
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
    # Unquoted: name and parameters are words.
    for line in "${devices[@]}"; do add_module "$tree/modules" device $line; done
    install -m 755 "$here/guest-init" "$tree/init"
    (cd "$tree" && find . | cpio --quiet -o -H newc | gzip -1) > "$initramfs.part"
    rm -rf "$tree"
    mv "$initramfs.part" "$initramfs"
}

prepare() {
    mkdir -p "$cache"
    # Two tests that start together prepare once.
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
        # Software emulation: it works on every host, and a guest under a virtual machine often has no other.
        -machine q35 -accel tcg,thread=multi -cpu max -m 1536 -smp 2
        -kernel "$kernel/boot/vmlinuz-$(< "$kernel/release")" -initrd "$initramfs"
        -append 'console=ttyS0 quiet loglevel=3 panic=-1 tsc=reliable'
        -nodefaults -no-user-config -display none -no-reboot -serial stdio
        -fsdev "$(folder files / on)" -device virtio-9p-pci,fsdev=files,mount_tag=files
        -fsdev "$(folder control "$control" off)" -device virtio-9p-pci,fsdev=control,mount_tag=control
    )
    if [ -n "$share" ]; then
        options+=(-fsdev "$(folder share "$share" off)" -device virtio-9p-pci,fsdev=share,mount_tag=share)
    fi
    # The guest's console is the command's output; a serial line ends its lines with CR LF.
    set +e
    timeout --kill-after 5 "$seconds" qemu-system-x86_64 "${options[@]}" </dev/null | sed -u 's/\r$//; /reboot: Power down/d'
    local emulator=${PIPESTATUS[0]}
    [ -e "$control/status" ] && status=$(< "$control/status")
    if [ "$emulator" = 124 ] || [ "$emulator" = 137 ]; then
        say "ended after $seconds s"
        status=124
    fi
    exit "$status"
}

action=${1:-}
shift || true
case $action in
    prepare) prepare ;;
    run) run "$@" ;;
    *) fail 'the first word is prepare or run' ;;
esac
