#!/bin/sh
# A C compiler for `cargo check`, which links nothing: instead of compiling a file it copies an empty object. CMake's
# questions about the compiler get real answers.
set -eu

case $PWD in
    *CMakeScratch* | *CMakeTmp* | *CompilerId*) exec @REAL@ "$@" ;;
esac

compiles=no
output=
dependencies=
next=
for argument in "$@"; do
    case $next in
        output) output=$argument ;;
        dependencies) dependencies=$argument ;;
    esac

    next=
    case $argument in
        -c) compiles=yes ;;
        -o) next=output ;;
        -MF) next=dependencies ;;
    esac
done

if [ "$compiles" = no ] || [ -z "$output" ]; then
    exec @REAL@ "$@"
fi

if [ -n "$dependencies" ]; then
    echo "$output:" >"$dependencies"
fi

cp "@EMPTY@" "$output"
