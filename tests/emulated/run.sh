#!/bin/bash
# Run a statically linked x86-64 Linux executable on an emulated AVX-512 CPU.
#
#   usage: run.sh BINARY [ARGS...]      (build with RUSTFLAGS="-C target-feature=+crt-static")
#
# Bochs 3.0 (Debian 13) boots a Debian cloud kernel whose initramfs holds only a small init and the
# binary. stdout, stderr and the exit status come back through Bochs' debug port 0xE9.
# The first run downloads Debian packages (about 105 MB) into EMU_DIR and unpacks them there; nothing is
# installed on the host. Needs: bash, apt-get, dpkg, rustc (with a linker), debian-archive-keyring.
#
#   EMU_DIR      cache folder                        (default target/emulated)
#   EMU_CPU      Bochs CPU model                     (default corei7_skylake_x: avx512 f,cd,dq,bw,vl;
#                corei7_icelake_u and tigerlake add vbmi, ifma, vnni; sapphire_rapids does not boot)
#   EMU_MEM      guest memory in MB                  (default 1024)
#   EMU_TIMEOUT  host seconds until Bochs is ended   (default 3600; exit status is then 125)
#   EMU_ENV      names of host variables handed on   (default "RUST_BACKTRACE RUST_TEST_THREADS")
#   EMU_KEEP     set: keep the run folder with the serial console and Bochs logs
#   EMU_APPEND   more kernel parameters
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BASE=${EMU_DIR:-$HERE/../../target/emulated}
mkdir -p "$BASE"
BASE=$(cd "$BASE" && pwd)
P=$BASE/debian L=$BASE/debian/usr/lib/x86_64-linux-gnu
# Debian 13 executables run through their own loader and libraries, whatever the host's release is.
deb() { local x=$1; shift; "$P/usr/lib64/ld-linux-x86-64.so.2" --library-path "$L:$L/pulseaudio" "$P/usr/bin/$x" "$@"; }

setup() {
  local a=$BASE/apt o k mirror
  mkdir -p "$a/lists/partial" "$a/cache/archives/partial" "$P.tmp"; : > "$a/status"
  # the mirror that this machine uses for its own release
  mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 'debian/*$')
  echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$a/list"
  o=(-o Dir::Etc::sourcelist="$a/list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$a/lists"
     -o Dir::State::status="$a/status" -o Dir::Cache="$a/cache" -o APT::Sandbox::User=root -o APT::Architecture=amd64)
  apt-get "${o[@]}" -q update
  apt-get "${o[@]}" -q install -y --no-install-recommends --download-only \
      bochs bochs-term bochsbios vgabios isolinux syslinux-common xorriso cpio
  # the kernel package alone: its dependencies (initramfs-tools ..) are of no use here
  k=$(apt-cache "${o[@]}" depends linux-image-cloud-amd64 | awk '/Depends: linux-image-[0-9]/{print $2; exit}')
  (cd "$a/cache/archives" && apt-get "${o[@]}" -q download "$k")
  for d in "$a"/cache/archives/*.deb; do dpkg -x "$d" "$P.tmp"; done
  rm -rf "$P.tmp/usr/lib/modules" "$P.tmp/lib/modules" "$P.tmp/usr/share/doc" "$P.tmp/usr/share/locale" "$a/cache"
  env -u RUSTFLAGS rustc --edition 2021 -O -C target-feature=+crt-static -C strip=symbols -o "$BASE/init" "$HERE/init.rs"
  mv "$P.tmp" "$P"
}
mkdir -p "$BASE"
(flock 9; [ -d "$P" ] || setup >&2) 9>"$BASE/.lock"

[ $# -ge 1 ] || { echo "usage: $0 BINARY [ARGS...]" >&2; exit 2; }
bin=$(readlink -f "$1"); shift
[ -x "$bin" ] || { echo "$0: no executable: $bin" >&2; exit 2; }
mem=${EMU_MEM:-1024}
t=$(mktemp -d "$BASE/run.XXXXXX")
if [ -n "${EMU_KEEP:-}" ]; then echo "run.sh: keeps $t" >&2; else trap 'rm -rf "$t"' EXIT; fi
mkdir -p "$t/root"/{dev,proc,sys,tmp} "$t/iso"
cp "$BASE/init" "$t/root/init"
# reading the boot medium is slow in the emulator: leave out debug info (symbol names stay)
strip --strip-debug -o "$t/root/emu.bin" "$bin" 2>/dev/null || cp "$bin" "$t/root/emu.bin"
chmod 755 "$t/root/emu.bin" "$t/root/init"
printf '%s\0' "$bin" "$@" > "$t/root/emu.args"
: > "$t/root/emu.env"
for v in ${EMU_ENV-RUST_BACKTRACE RUST_TEST_THREADS}; do
  if [ -n "${!v+x}" ]; then printf '%s=%s\0' "$v" "${!v}" >> "$t/root/emu.env"; fi
done
(cd "$t/root" && find . | deb cpio -o -H newc --quiet) > "$t/iso/initrd"
cp "$P"/boot/vmlinuz-* "$t/iso/vmlinuz"
cp "$P/usr/lib/ISOLINUX/isolinux.bin" "$P/usr/lib/syslinux/modules/bios/ldlinux.c32" "$t/iso/"
# clearcpuid: Bochs 2.7 reports a wrong XSAVES size, upon which Linux gives up XSAVE and AVX; 3.0 boots without it too
cat > "$t/iso/isolinux.cfg" <<X
default l
prompt 0
timeout 0
label l
kernel /vmlinuz
append initrd=/initrd console=ttyS0 quiet loglevel=3 clearcpuid=xsaves,xsavec nokaslr mitigations=off random.trust_cpu=on panic=-1 ${EMU_APPEND:-}
X
deb xorriso -as mkisofs -quiet -o "$t/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot \
    -boot-load-size 4 -boot-info-table "$t/iso" >"$t/xorriso.log" 2>&1 || { cat "$t/xorriso.log" >&2; exit 125; }
cat > "$t/bochsrc" <<X
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=${EMU_CPU:-corei7_skylake_x}, count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=$mem, host=$mem
romimage: file=$P/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=$P/usr/share/bochs/VGABIOS-lgpl-latest
boot: cdrom
ata0: enabled=1
ata0-master: type=cdrom, path="$t/boot.iso", status=inserted
com1: enabled=1, mode=file, dev="$t/serial.log"
port_e9_hack: enabled=1
clock: sync=none, time0=local
log: $t/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
X
echo c > "$t/dbg"       # Debian's Bochs has the debugger built in: make it continue at once
export LTDL_LIBRARY_PATH=$L/bochs/plugins
ns=(); if unshare -n true 2>/dev/null; then ns=(unshare -n); fi   # the rfb display would listen on port 5900
touch "$t/serial.log" "$t/bochs.log"
# Bochs itself leaves with status 1 on the shutdown port; the true exit status comes in the frames.
set +e
timeout "${EMU_TIMEOUT:-3600}" "${ns[@]}" "$P/usr/lib64/ld-linux-x86-64.so.2" --library-path "$L:$L/pulseaudio" \
    "$P/usr/bin/bochs-bin" -q -f "$t/bochsrc" -rc "$t/dbg" 2>"$t/bochs.err" </dev/null | "$BASE/init"
rc=${PIPESTATUS[1]}
if [ "$rc" = 125 ]; then tail -n 20 "$t/serial.log" "$t/bochs.log" "$t/bochs.err" >&2; fi
exit "$rc"

