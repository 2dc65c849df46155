# Sourced by the scripts that tests run in the guest. Makes the guest's sound card the default
# device, and defines functions for a signaling server and calls. The caller sets: tandem and server
# (the programs), out (the folder shared with the host).

# Audio played on the card's first device comes back on its second, which calls capture from.
cat > /tmp/asound.conf <<'A'
</usr/share/alsa/alsa.conf>
pcm.!default { type asym capture.pcm "plughw:Loopback,1,0" playback.pcm "plughw:Loopback,1,1" }
ctl.!default { type hw card Loopback }
A
export ALSA_CONFIG_PATH=/tmp/asound.conf

fail() {
    echo "guest: $1"
    exit "${2:-99}"
}

# Waits until a command succeeds: await WHAT SECONDS COMMAND...
await() {
    local what=$1 tries=$(($2 * 10))
    shift 2
    until "$@" 2> /dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "$what: timed out"
        sleep 0.1
    done
}

# Whether a file has at least so many bytes: holds FILE BYTES.
holds() { [ "$(stat -c %s "$1" 2> /dev/null || echo 0)" -ge "$2" ]; }

start_server() {
    "$server" --listen 127.0.0.1:9000 > "$out/server.txt" 2>&1 &
    await 'the server' 10 grep -q 9000 "$out/server.txt"
}

# Plays a sentence on the card in a loop: speak FILE.
speak() {
    (while :; do aplay -q -D plughw:Loopback,0,0 "$1" || sleep 0.5; done) > /dev/null 2>&1 &
}

# A peer on the guest's server. Writes its report to NAME.json and its log to NAME.log:
# peer NAME ARGUMENTS...
peer() {
    local name=$1
    shift
    "$tandem" --headless --signaling ws://127.0.0.1:9000/ws --room guest --wait 60s --log-level debug \
        --report "$out/$name.json" "$@" 2> "$out/$name.log"
}

# A peer that sends camera and microphone, with small frames and no audio processing: all that an
# emulated processor can do.
sender() {
    local name=$1
    shift
    peer "$name" --video camera --audio microphone --speaker none --size 640x360 --fps 5 \
        --echo-cancellation off --noise-suppression off --gain-control off "$@"
}

# A peer that only receives.
receiver() {
    local name=$1
    shift
    peer "$name" --video none --audio none --speaker none "$@"
}
