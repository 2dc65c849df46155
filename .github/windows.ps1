# Gets what building Tandem needs beyond what GitHub's runner for Windows has, and tells the next steps where it is.
# Everything is linked statically, the C runtime included: an installed program may need nothing that not every Windows
# has.
$ErrorActionPreference = "Stop"
$PSNativeCommandUseErrorActionPreference = $true

choco install nasm nsis --no-progress -y
"C:\Program Files\NASM", "C:\Program Files (x86)\NSIS" >> $env:GITHUB_PATH

vcpkg install libvpx:x64-windows-static
$lib = "$env:VCPKG_INSTALLATION_ROOT\installed\x64-windows-static\lib"
$version = (Select-String -Path "$lib\pkgconfig\vpx.pc" -Pattern '^Version: *(.+)').Matches[0].Groups[1].Value
"VPX_LIB_DIR=$lib", "VPX_VERSION=$version", "VPX_STATIC=1" >> $env:GITHUB_ENV
"RUSTFLAGS=-C target-feature=+crt-static" >> $env:GITHUB_ENV
