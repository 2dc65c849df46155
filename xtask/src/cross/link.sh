#!/bin/sh
# Links for Windows with the static libraries in @STATIC@ before all others: whatever asks for libstdc++ or libssp gets
# them from there, and the program does not need the compiler's DLLs. What libssp itself needs comes after it.
exec @LINKER@ -L "@STATIC@" "$@" -lmoldname -lmsvcrt -ladvapi32 -lkernel32
