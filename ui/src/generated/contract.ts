// Generated from src-tauri/src/desktop by `TANDEM_WRITE_TYPES=1 cargo test -p tandem typescript`.
// Do not edit: a test compares it with the Rust types.

/**
 * Everything that the page shows.
 */
export type AppState = { 
/**
 * Grows by one with each change.
 */
revision: number, 
/**
 * Where the user is.
 */
screen: Screen, 
/**
 * What the user chose, as far as it is kept.
 */
settings: Settings, 
/**
 * What the menus offer.
 */
devices: Devices, 
/**
 * The own picture in the lobby.
 */
preview: Preview, 
/**
 * The connection to the relay.
 */
relay: ServerState, 
/**
 * The relay in this app, for others on the network.
 */
host: HostState, 
/**
 * What is wrong now, each to be shown in its place.
 */
problems: Array<Problem>, };

/**
 * The event `state-changed`. A page that missed a revision asks for the whole state again.
 */
export type StateChange = { 
/**
 * The revision after this change.
 */
revision: number, 
/**
 * The fields that are different now.
 */
changes: Partial<Omit<AppState, "revision">>, };

/**
 * The event `microphone-level`, at most 15 a second and only in the lobby.
 */
export type MicrophoneLevel = { 
/**
 * From 0, silence, to 1, as loud as it gets.
 */
level: number, };

/**
 * One of the app's screens, with what it shows.
 */
export type Screen = { "kind": "lobby" } | { "kind": "waiting", 
/**
 * The code that both give; without one anybody will do.
 */
room: string | null, 
/**
 * When the search began.
 */
startedAtMs: number, } | { "kind": "connecting", 
/**
 * Who it is.
 */
partner: Partner, 
/**
 * What is happening.
 */
step: ConnectingStep, 
/**
 * When the partner was found.
 */
startedAtMs: number, 
/**
 * It takes too long: offer to try again.
 */
timedOut: boolean, } | { "kind": "inCall" } & InCall | { "kind": "ended", 
/**
 * The code of `EndCode`: `PARTNER_LEFT`.
 */
reason: string, 
/**
 * How long it lasted; none if it never came about.
 */
durationMs: number | null, 
/**
 * The room it was in, to search there again.
 */
room: string | null, };

/**
 * A call as its screen shows it.
 */
export type InCall = { 
/**
 * Who it is.
 */
partner: Partner, 
/**
 * Since when.
 */
connectedAtMs: number, 
/**
 * The path of picture and sound, once it is known.
 */
route: RouteKind | null, 
/**
 * Whether picture and sound are encrypted: true once the ciphers are known.
 */
encrypted: boolean, 
/**
 * 3 is good, 1 is bad; none before it can be told.
 */
quality: 1 | 2 | 3 | null, 
/**
 * The own microphone is muted.
 */
muted: boolean, 
/**
 * The own camera is on, as far as the user wants.
 */
cameraOn: boolean, 
/**
 * Whether there is a picture to send at all.
 */
sendsVideo: boolean, 
/**
 * The partner's microphone is muted.
 */
partnerMuted: boolean, 
/**
 * The partner's camera is off.
 */
partnerCameraOff: boolean, 
/**
 * Nothing comes from the partner at the moment.
 */
partnerReconnecting: boolean, 
/**
 * The relay is out of reach; the call goes on without it.
 */
relayLost: boolean, };

/**
 * What the partner tells about themself. All of it is foreign text: show it as text.
 */
export type Partner = { 
/**
 * The name.
 */
name: string | null, 
/**
 * The age in years.
 */
age: number | null, 
/**
 * The place.
 */
location: string | null, 
/**
 * A `data:image/` URL.
 */
picture: string | null, };

/**
 * What happens while the connection is being made.
 */
export type ConnectingStep = "exchanging" | "checking";

/**
 * The path that picture and sound take.
 */
export type RouteKind = "direct" | "relayed";

/**
 * The user's choices. A device is its id, `null` for the system's default, `"none"` to do without.
 */
export type Settings = { 
/**
 * The name that partners see; empty for none.
 */
name: string, 
/**
 * The relay that introduces partners.
 */
relayUrl: string, 
/**
 * The camera.
 */
camera: string | null, 
/**
 * The microphone.
 */
microphone: string | null, 
/**
 * The speaker.
 */
speaker: string | null, 
/**
 * Whether calls begin with the camera on.
 */
cameraEnabled: boolean, 
/**
 * Light or dark.
 */
theme: Theme, 
/**
 * Attenuate the microphone's background noise.
 */
noiseSuppression: boolean, 
/**
 * Remove the speaker's sound from the microphone's.
 */
echoCancellation: boolean, 
/**
 * Bring the microphone's speech to an even loudness.
 */
autoGain: boolean, };

/**
 * Light or dark.
 */
export type Theme = "system" | "light" | "dark";

/**
 * The devices of this machine.
 */
export type Devices = { 
/**
 * Cameras.
 */
cameras: Array<Device>, 
/**
 * Microphones.
 */
microphones: Array<Device>, 
/**
 * Speakers.
 */
speakers: Array<Device>, };

/**
 * One device.
 */
export type Device = { 
/**
 * What the commands call it.
 */
id: string, 
/**
 * What a person calls it.
 */
name: string, };

/**
 * The own picture in the lobby.
 */
export type Preview = { 
/**
 * Whether there is one.
 */
status: PreviewStatus, };

/**
 * Whether there is a picture in the lobby.
 */
export type PreviewStatus = "off" | "starting" | "on" | "failed";

/**
 * The connection to the relay.
 */
export type ServerState = { 
/**
 * How it is.
 */
status: ServerStatus, };

/**
 * How the connection to the relay is.
 */
export type ServerStatus = "idle" | "connecting" | "connected" | "unreachable";

/**
 * The relay in this app, for others on the network.
 */
export type HostState = { 
/**
 * Whether it runs. While it does, this app's own calls go through it too.
 */
status: HostStatus, 
/**
 * The `ws://` addresses that others type in.
 */
addresses: Array<string>, };

/**
 * Whether the relay in this app runs.
 */
export type HostStatus = "off" | "starting" | "on" | "failed";

/**
 * Something that is wrong now. The words for its code are in the page's locale file.
 */
export type Problem = { 
/**
 * Names it for `dismiss_problem`.
 */
id: number, 
/**
 * A stable code, such as `CAM_IN_USE`.
 */
code: string, 
/**
 * Where to show it.
 */
place: ProblemPlace, 
/**
 * More of it, for those who want to know: never needed to act on it.
 */
detail: string | null, };

/**
 * Where a problem is shown.
 */
export type ProblemPlace = "camera" | "microphone" | "speaker" | "relay" | "host" | "settings" | "room" | "call";

/**
 * Something that the user wants.
 *
 * Fields are required, also those that may be `null`. Serde refuses unknown fields, except beside
 * the `type` of a command without fields, where it ignores them.
 */
export type Command = { "type": "findPartner" } | { "type": "callWithCode", code: string, } | { "type": "cancel" } | { "type": "hangUp" } | { "type": "next" } | { "type": "retry" } | { "type": "toLobby" } | { "type": "setMuted", muted: boolean, } | { "type": "setCameraOn", on: boolean, } | { "type": "setCamera", id: string | null, } | { "type": "setMicrophone", id: string | null, } | { "type": "setSpeaker", id: string | null, } | { "type": "setName", name: string, } | { "type": "setServerUrl", url: string, } | { "type": "setTheme", theme: Theme, } | { "type": "setProcessing", echoCancellation: boolean, noiseSuppression: boolean, autoGain: boolean, } | { "type": "startHost", lan: boolean, } | { "type": "stopHost" } | { "type": "testSpeaker" } | { "type": "refreshDevices" } | { "type": "dismissProblem", id: number, };

/**
 * Why the app refused a command. A refused command changes nothing.
 */
export type CommandError = { 
/**
 * A stable code.
 */
code: CommandErrorCode, 
/**
 * The cause, for a bug report; nothing that a user needs to act on.
 */
detail: string | null, };

/**
 * The stable codes of [`CommandError`].
 */
export type CommandErrorCode = "NOT_NOW" | "BAD_COMMAND" | "BAD_ROOM" | "BAD_NAME" | "BAD_RELAY_URL" | "UNKNOWN_DEVICE" | "UNKNOWN_PROBLEM" | "RATE_LIMITED" | "CLOSING";

/**
 * Where the page gets frames: see the module `frames`.
 */
export type FrameSocket = { 
/**
 * `ws://127.0.0.1:PORT/frames`, to which the page appends `?token=…`.
 */
url: string, 
/**
 * Opens one connection, within half a minute.
 */
token: string, };

/**
 * What the page sends on the frame socket to request the next frame. The app answers as soon as it
 * has a newer one.
 */
export type FrameRequest = { 
/**
 * Which stream.
 */
stream: StreamName, 
/**
 * The sequence number of the last frame received; 0 before the first.
 */
after: number, 
/**
 * The width available on the screen, in pixels.
 */
maxWidth: number, 
/**
 * The height available on the screen, in pixels.
 */
maxHeight: number, };

/**
 * A stream of frames.
 */
export type StreamName = "local" | "remote";
