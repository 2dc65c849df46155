#!/usr/bin/env bash
# The Autobahn Testsuite, cases 1 to 10, against the signaling server's WebSocket configuration
# (signaling/examples/echo.rs).
#
# The suite needs Python 2.7. Once:
#     python2.7 -m pip install virtualenv && python2.7 -m virtualenv autobahn
#     autobahn/bin/pip install autobahntestsuite==0.8.2
# Then:
#     signaling/autobahn/run.sh autobahn/bin/wstest
# It prints how the cases ended and fails if one failed. The reports are in out/autobahn.
set -euo pipefail
wstest=$(command -v "${1:?the path of wstest}")
wstest=$(realpath "$wstest")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

cargo build --locked --package tandem-signaling --all-features --example echo
target=${CARGO_TARGET_DIR:-target}
mkdir -p out/autobahn
exec 3< <(exec "$target/debug/examples/echo")
server=$!
trap 'kill "$server"' EXIT
read -r url <&3

cat > out/autobahn/spec.json <<JSON
{
  "outdir": "out/autobahn",
  "servers": [{ "agent": "tandem", "url": "$url" }],
  "cases": ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"],
  "exclude-cases": [],
  "exclude-agent-cases": {}
}
JSON
"$wstest" --mode fuzzingclient --spec out/autobahn/spec.json > out/autobahn/log.txt 2>&1

python3 - <<'PYTHON'
import collections, json, sys
cases = json.load(open("out/autobahn/index.json"))["tandem"]
count = collections.Counter(case["behavior"] for case in cases.values())
print(len(cases), "cases:", ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
bad = sorted(name for name, case in cases.items() if case["behavior"] not in ("OK", "NON-STRICT", "INFORMATIONAL"))
sys.exit(f"failed: {', '.join(bad)}" if bad else 0)
PYTHON
