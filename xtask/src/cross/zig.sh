#!/bin/sh
# A C compiler for macOS on another system: `zig @TOOL@`, without the arguments that only Apple's clang understands.
set -eu

if [ "@TOOL@" = ar ]; then
    exec "@ZIG@" ar "$@"
fi

count=$#
skip=no
while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    count=$((count - 1))

    if [ "$skip" = yes ]; then
        skip=no
        continue
    fi

    case $argument in
        --target=* | -mmacosx-version-min=*) ;;
        -arch | -isysroot | -target) skip=yes ;;
        *) set -- "$@" "$argument" ;;
    esac
done

# Without optimization zig adds checks for undefined behavior, which triple the time.
exec "@ZIG@" "@TOOL@" -target aarch64-macos -fno-sanitize=undefined "$@"
