// Generated from src-tauri/src/desktop by `TANDEM_WRITE_TYPES=1 cargo test --locked -p tandem typescript`.
// Do not edit: a test compares it with the Rust types.

/** The longest room code, in characters. */
export const MAX_ROOM_CHARS = 64;

/** The longest name, in characters. */
export const MAX_USER_NAME_CHARS = 40;

/** The longest place, in characters. */
export const MAX_USER_LOCATION_CHARS = 80;

/** The most interests. */
export const MAX_INTERESTS = 10;

/** The longest interest, in characters. */
export const MAX_INTEREST_CHARS = 32;

/** The longest text of a report, in characters. */
export const MAX_REPORT_CHARS = 1000;

/** The ages that a profile may give, in years. */
export const USER_AGES = { youngest: 18, oldest: 120 };

/** The longest `data:` URL of a profile picture, in bytes. */
export const MAX_PICTURE_DATA_BYTES = 32768;

/**
 * Everything that the page shows.
 */
export type AppState = { 
/**
 * Increases by one with each change.
 */
revision: number, 
/**
 * The screen that is shown.
 */
screen: Screen, 
/**
 * The user's settings.
 */
settings: Settings, 
/**
 * The user's profile picture, a `data:image/jpeg` URL; `null` for none.
 */
picture: string | null, 
/**
 * The codecs that this build can send, the best first. Never changes.
 */
codecs: Array<Codec>, 
/**
 * The devices in the menus.
 */
devices: Devices, 
/**
 * The local video on the home screen.
 */
preview: Preview, 
/**
 * The connection to the signaling server.
 */
server: ServerState, 
/**
 * The access token that is set, if there is one.
 */
token: TokenState | null, 
/**
 * The signaling server in this app, for other people on the network.
 */
host: HostState, 
/**
 * People on the same network.
 */
nearby: NearbyState, 
/**
 * The user's invite, if there is one.
 */
invitation: Invitation | null, 
/**
 * The person who rings.
 */
incoming: IncomingCall | null, 
/**
 * An invite that was opened as a link, and waits for the user's click.
 */
opened: OpenedInvite | null, 
/**
 * People of earlier calls, the newest first.
 */
recents: Array<RecentCall>, 
/**
 * The stranger of the call on the screen, or of the one that has just ended.
 */
stranger: StrangerState | null, 
/**
 * The window is to be closed in a call, and waits for the user to confirm it.
 */
confirmClose: boolean, 
/**
 * What is wrong now, each shown in its place.
 */
problems: Array<Problem>, };

/**
 * The event `state-changed`. A page that missed a revision fetches the whole state again.
 */
export type StateChange = { 
/**
 * The revision after this change.
 */
revision: number, 
/**
 * The fields that changed.
 */
changes: Partial<Omit<AppState, "revision">>, };

/**
 * The event `microphone-level`, at most 15 per second and only on the home screen.
 */
export type MicrophoneLevel = { 
/**
 * From 0, silence, to 1, full scale.
 */
level: number, };

/**
 * The screen that is shown, with its contents.
 */
export type Screen = { "kind": "lobby" } | { "kind": "waiting", 
/**
 * The person or people that it is for.
 */
search: Search, 
/**
 * The other person's Tandem rings.
 */
ringing: boolean, 
/**
 * When the search started.
 */
startedAtMs: number, 
/**
 * Whether there is video to send: a source is chosen and has not failed. It is shown to
 * the user meanwhile.
 */
sendsVideo: boolean, } | { "kind": "connecting", 
/**
 * The partner.
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
 * Whether it takes long.
 */
timedOut: boolean, 
/**
 * Whether the page can offer to try again then: not to the one who was called.
 */
canRetry: boolean, 
/**
 * Why there is no connection yet, if that is known. It may still come.
 */
problem: ConnectProblem | null, } | { "kind": "inCall" } & InCall | { "kind": "ended", 
/**
 * Why it ended.
 */
reason: EndCode, 
/**
 * What is wrong with the signaling server, if it ended for that reason.
 */
cause: ClientErrorCode | null, 
/**
 * Why no connection came up, if it ended for that reason and that is known.
 */
problem: ConnectProblem | null, 
/**
 * What did not match, if it ended for that reason.
 */
mismatch: Mismatch | null, 
/**
 * How long it lasted; `null` if it never connected.
 */
durationMs: number | null, 
/**
 * The name of the partner, if there was one who gave it.
 */
name: string | null, 
/**
 * The signaling server, unless it is the user's.
 */
otherServer: string | null, 
/**
 * The signaling server that the user is asked about: it offers no TURN server, so strangers would
 * be met directly there. `null` if nothing is asked.
 */
asksDirectAt: string | null, 
/**
 * What `next` searches for from here; `null` if nothing can be searched again.
 */
again: Search | null, };

/**
 * A connected call.
 */
export type InCall = { 
/**
 * The partner.
 */
partner: Partner, 
/**
 * The two found each other by a code, so neither is a stranger to the other.
 */
known: boolean, 
/**
 * When it connected.
 */
connectedAtMs: number, 
/**
 * The route of the media, once it is known.
 */
route: RouteKind | null, 
/**
 * Whether the media is encrypted: true once the ciphers have been negotiated.
 */
encrypted: boolean, 
/**
 * What is known about who the partner is.
 */
verification: Verification, 
/**
 * From 1, bad, to 3, good; `null` before it is known.
 */
quality: 1 | 2 | 3 | null, 
/**
 * The local microphone is muted.
 */
muted: boolean, 
/**
 * The user has the camera switched on. It may have failed nevertheless, see `sendsVideo`.
 */
cameraOn: boolean, 
/**
 * Whether there is video to send: a source is chosen and has not failed.
 */
sendsVideo: boolean, 
/**
 * The remote microphone is muted.
 */
partnerMuted: boolean, 
/**
 * The remote camera is off.
 */
partnerCameraOff: boolean, 
/**
 * The partner does not want audio at the moment.
 */
partnerRefusesAudio: boolean, 
/**
 * The partner does not want video at the moment.
 */
partnerRefusesVideo: boolean, 
/**
 * Nothing arrives from the partner at the moment: when the call ends, if nothing arrives until
 * then.
 */
reconnectingUntilMs: number | null, 
/**
 * The partner's connection to the signaling server is lost. The call continues without it.
 */
partnerServerLost: boolean, 
/**
 * The connection to the signaling server is lost. The call continues without it.
 */
serverLost: boolean, };

/**
 * What is known about who the partner of a call is.
 */
export type Verification = { 
/**
 * What the badge says.
 */
badge: BadgeKind, 
/**
 * What there is to compare with the other screen.
 */
words: WordsState, 
/**
 * Which end of an invite the user is, if its code is checked.
 */
byInvite: InviteEnd | null, };

/**
 * The badge of a call.
 */
export type BadgeKind = "notVerified" | "verifiedByCode" | "verifiedByUser";

/**
 * The safety words of a call, or why it has none.
 */
export type WordsState = { "status": "awaited" } | { "status": "ready", 
/**
 * Four words, in this order.
 */
words: [string, string, string, string], } | { "status": "unavailable" } | { "status": "byCode" };

/**
 * An end of an invite.
 */
export type InviteEnd = "inviter" | "guest";

/**
 * What did not match in a call that ended with `CODE_MISMATCH`.
 */
export type Mismatch = "safetyWords" | "partnersSafetyWords" | "invite" | "spentInvite" | "code" | "spentCode";

/**
 * The person or people that a search is for.
 */
export type Search = { "kind": "anyone" } | { "kind": "room", 
/**
 * The code or invite, as people write it.
 */
code: string, 
/**
 * The server of a link, if it is not the user's own.
 */
server: string | null, 
/**
 * The other person made it, and this user joins.
 */
invited: boolean, } | { "kind": "person", 
/**
 * The name that the person had in that call.
 */
name: string | null, } | { "kind": "nearby", 
/**
 * The name, as the person announced it.
 */
name: string | null, } | { "kind": "answer", 
/**
 * The name, as far as it is known.
 */
name: string | null, };

/**
 * The user's invite.
 */
export type Invitation = { "status": "asking" } | { "status": "ready", 
/**
 * The invite, to be read aloud: `7-garden-lantern`.
 */
code: string, 
/**
 * The link that opens Tandem; `null` if a link cannot name the server.
 */
appLink: string | null, 
/**
 * The link to a page of the server, for those who may not have Tandem.
 */
webLink: string | null, 
/**
 * The server's name.
 */
server: string, 
/**
 * An earlier invite was lost, because the server forgot it, and this one takes its place.
 */
replaced: boolean, };

/**
 * The person who rings, who wrote the name and the picture: show them as plain text and pixels only.
 */
export type IncomingCall = { 
/**
 * For the commands that answer it.
 */
id: number, 
/**
 * The name.
 */
name: string | null, 
/**
 * The profile picture, as a `data:image/` URL.
 */
picture: string | null, 
/**
 * How the person knows this user.
 */
kind: CallerKind, 
/**
 * They have the number of the user's invite, and the call will be verified by its code.
 */
byInvite: boolean, };

/**
 * How a person who rings knows the user.
 */
export type CallerKind = "invited" | "known" | "nearby";

/**
 * An invite that was opened as a link, and waits for the user's click.
 */
export type OpenedInvite = { 
/**
 * The invite, as people write it.
 */
code: string, 
/**
 * The server that the call goes to; `null` if the invite names none and none is chosen.
 */
server: string | null, 
/**
 * It is not the user's own server, and is used for this call only.
 */
otherServer: boolean, 
/**
 * Anyone on the network between here and that server can see who calls whom, and change it.
 */
exposed: boolean, };

/**
 * A person of an earlier call, who can be rung again.
 */
export type RecentCall = { 
/**
 * For commands.
 */
id: number, 
/**
 * The name that the person had in that call.
 */
name: string | null, 
/**
 * When the call began.
 */
atMs: number, };

/**
 * The profile of the partner, who wrote it: show it as plain text only.
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
 * The location.
 */
location: string | null, 
/**
 * The profile picture, as a `data:image/` URL.
 */
picture: string | null, };

/**
 * The stranger of the call on the screen, or of the one that has just ended.
 */
export type StrangerState = { 
/**
 * For the command that says that the page shows who it is.
 */
id: number, 
/**
 * The page has shown who it is. Nothing is sent before.
 */
shown: boolean, 
/**
 * The interests that both gave, which a server names: show them as plain text only.
 */
interests: Array<string>, 
/**
 * What became of the user's report about them.
 */
report: ReportStatus, 
/**
 * Whether the user never meets them again.
 */
block: BlockStatus, };

/**
 * What became of a report.
 */
export type ReportStatus = "none" | "sending" | "sent" | "notRecorded" | "failed";

/**
 * What became of a block.
 */
export type BlockStatus = "none" | "sending" | "blocked" | "failed";

/**
 * What a report is about.
 */
export type ReportReason = "nudity" | "harassment" | "minor" | "spam" | "other";

/**
 * The steps of making a connection.
 */
export type ConnectingStep = "exchanging" | "checking";

/**
 * The route of the media.
 */
export type RouteKind = "direct" | "relayed";

/**
 * The user's settings. A device is its id, `null` for the system's default, or `"none"` for no
 * device.
 */
export type Settings = { 
/**
 * The name that partners see; may be empty.
 */
name: string, 
/**
 * The age that partners see, in years; `null` for none.
 */
age: number | null, 
/**
 * The place that partners see; may be empty.
 */
location: string, 
/**
 * The address of the signaling server; `null` if none is chosen. Older files call it
 * `relayUrl`.
 */
serverUrl: string | null, 
/**
 * The path of a PEM file with certificates to trust beside the system's; `null` for none.
 */
caFile: string | null, 
/**
 * The user has seen the ways to call, which the first start explains.
 */
welcomed: boolean, 
/**
 * The chosen camera.
 */
camera: string | null, 
/**
 * The chosen microphone.
 */
microphone: string | null, 
/**
 * The chosen speaker.
 */
speaker: string | null, 
/**
 * Whether calls start with the camera on.
 */
cameraEnabled: boolean, 
/**
 * Whether the microphone is muted, in calls and before them.
 */
muted: boolean, 
/**
 * The user has read the rules for meeting strangers and is 18 or older.
 */
rulesAccepted: boolean, 
/**
 * Whether the camera is on when the user meets a stranger.
 */
strangerCamera: boolean, 
/**
 * Whether the microphone is muted when the user meets a stranger.
 */
strangerMuted: boolean, 
/**
 * Calls with strangers go through a TURN server, so that they do not learn the user's address.
 */
strangerRelay: boolean, 
/**
 * The servers at which they go directly because those offer no TURN server: the user was asked at
 * each.
 */
strangerDirect: string[], 
/**
 * What the user likes to talk about; people with the same interests are matched first.
 */
interests: Array<string>, 
/**
 * The speaker that rings; `null` for the one that calls use.
 */
ringSpeaker: string | null, 
/**
 * How loud it rings, from 0 to 100 percent.
 */
ringVolume: number, 
/**
 * The size of the video to send.
 */
videoSize: VideoSize, 
/**
 * The codec to offer first.
 */
codec: Codec, 
/**
 * The most that the video may take, in kbit/s.
 */
maxBitrateKbps: number, 
/**
 * People on the same network can find and call the user, also while their list is closed.
 */
alwaysNearby: boolean, 
/**
 * Whether the keys M and V alone do something.
 */
singleKeyShortcuts: boolean, 
/**
 * The color theme.
 */
theme: Theme, 
/**
 * Attenuate background noise in the microphone's audio.
 */
noiseSuppression: boolean, 
/**
 * Remove the speaker's sound from the microphone's.
 */
echoCancellation: boolean, 
/**
 * Bring speech to an even loudness.
 */
autoGain: boolean, };

/**
 * The access token for a private server, without its text: the page never gets that.
 */
export type TokenState = { 
/**
 * The only server that gets it, such as `chat.example.org`.
 */
server: string, 
/**
 * The server in the settings is that one.
 */
inUse: boolean, 
/**
 * It comes from the command line, and is not saved.
 */
thisRunOnly: boolean, };

/**
 * A size of video, by its height. All are 16:9.
 */
export type VideoSize = "720p" | "480p" | "360p";

/**
 * A video codec.
 */
export type Codec = "h264" | "vp8";

/**
 * A color theme.
 */
export type Theme = "system" | "light" | "dark";

/**
 * The devices of this machine.
 */
export type Devices = { 
/**
 * Cameras.
 */
cameras: Array<MenuDevice>, 
/**
 * Microphones.
 */
microphones: Array<MenuDevice>, 
/**
 * Speakers.
 */
speakers: Array<MenuDevice>, };

/**
 * A device in a menu.
 */
export type MenuDevice = { 
/**
 * Its id in commands and settings.
 */
id: string, 
/**
 * Its name for people.
 */
name: string, };

/**
 * The local video on the home screen.
 */
export type Preview = { 
/**
 * Whether it is shown.
 */
status: PreviewStatus, };

/**
 * Whether the home screen shows the local video.
 */
export type PreviewStatus = "off" | "starting" | "on" | "failed";

/**
 * The connection to the signaling server.
 */
export type ServerState = { 
/**
 * Its status.
 */
status: ServerStatus, 
/**
 * The server's name, such as `chat.example.org`; `null` if none is chosen.
 */
name: string | null, 
/**
 * What is wrong with it, if it is unreachable.
 */
cause: ClientErrorCode | null, 
/**
 * Anyone on the network between here and the server can see who calls whom, and can change it.
 */
exposed: boolean, };

/**
 * The status of the connection to the signaling server.
 */
export type ServerStatus = "idle" | "connecting" | "connected" | "unreachable";

/**
 * The signaling server in this app, for other people on the network.
 */
export type HostState = { 
/**
 * Whether it runs. While it does, this app uses it too.
 */
status: HostStatus, 
/**
 * The `ws://` addresses for other people to type.
 */
addresses: Array<string>, };

/**
 * Whether the signaling server in this app runs.
 */
export type HostStatus = "off" | "starting" | "on" | "failed";

/**
 * People on the same network, and how they reach this user.
 */
export type NearbyState = { 
/**
 * Whether others can find and call this user.
 */
status: NearbyStatus, 
/**
 * The list of people is open.
 */
open: boolean, 
/**
 * Who is there.
 */
people: Array<NearbyPerson>, 
/**
 * Whether the network carries what makes people find each other.
 */
reach: NearbyReach, 
/**
 * The addresses at which others on the network can call this user, as they type them; the
 * likeliest first.
 */
addresses: Array<string>, 
/**
 * The first of them as a link that opens Tandem.
 */
link: string | null, };

/**
 * Whether people on the network can find and call this user.
 */
export type NearbyStatus = "off" | "starting" | "on" | "failed";

/**
 * Whether the network carries what makes people find each other (multicast).
 */
export type NearbyReach = "unknown" | "heard" | "silent";

/**
 * A person nearby, who wrote the name: show it as plain text only.
 */
export type NearbyPerson = { 
/**
 * For commands.
 */
id: string, 
/**
 * The name.
 */
name: string | null, };

/**
 * Something that is wrong now. The page has the words for its code.
 */
export type Problem = { 
/**
 * Its id, to dismiss it.
 */
id: number, 
/**
 * What is wrong, such as `CAM_IN_USE`.
 */
code: ErrorCode, 
/**
 * Where to show it.
 */
place: ProblemPlace, 
/**
 * More detail for experts. Never needed to act on the problem.
 */
detail: string | null, };

/**
 * Any code of this program, serialized as its published string. TypeScript's union is generated
 * from it, and the page has words for each of its members.
 */
export type ErrorCode = MediaErrorCode | EndCode | ClientErrorCode | AppErrorCode;

/**
 * The published codes of everything that can go wrong with a device, a media file or a recording.
 *
 * In reports, in JSON and in the window a code is its string form, such as `CAM_IN_USE`. The
 * strings are a contract with scripts and pages: variants may be added, but no string changes.
 *
 * ```
 * use tandem_media::MediaErrorCode;
 *
 * assert_eq!(MediaErrorCode::CamInUse.as_str(), "CAM_IN_USE");
 * assert_eq!(MediaErrorCode::CamInUse.to_string(), "CAM_IN_USE");
 * ```
 */
export type MediaErrorCode = "CAM_NOT_FOUND" | "CAM_IN_USE" | "CAM_DENIED" | "CAM_UNPLUGGED" | "CAM_TIMEOUT" | "CAM_FORMAT" | "CAM_NOT_NEGOTIATED" | "MIC_NOT_FOUND" | "MIC_IN_USE" | "MIC_DENIED" | "MIC_UNPLUGGED" | "MIC_TIMEOUT" | "MIC_FORMAT" | "MIC_NOT_NEGOTIATED" | "SPEAKER_NOT_FOUND" | "SPEAKER_IN_USE" | "SPEAKER_DENIED" | "SPEAKER_UNPLUGGED" | "SPEAKER_TIMEOUT" | "SPEAKER_FORMAT" | "FILE_UNREADABLE" | "FILE_BAD_FORMAT" | "FILE_UNWRITABLE" | "DISK_FULL";

/**
 * Why a call ended, as a stable code.
 */
export type EndCode = "HUNG_UP" | "CANCELLED" | "NO_PARTNER" | "RELAY_UNREACHABLE" | "RELAY_REFUSED" | "NO_SUCH_ROOM" | "DECLINED" | "NO_ANSWER" | "NO_TURN_SERVER" | "NO_STUN_SERVER" | "CONNECT_TIMEOUT" | "CONNECTION_FAILED" | "BAD_DESCRIPTION" | "NO_COMMON_CODEC" | "PARTNER_LEFT" | "PARTNER_VANISHED" | "PARTNER_MISBEHAVED" | "CODE_MISMATCH" | "BANNED" | "KICKED";

/**
 * Why no connection to a partner came up, as a stable code beside that of the end.
 */
export type ConnectProblem = "NO_TURN_OFFERED" | "TURN_REFUSED" | "TURN_FAILED" | "UDP_BLOCKED" | "TURN_UNREACHABLE" | "PARTNER_HAS_NO_ROUTE";

/**
 * The stable codes of [`ClientError`].
 */
export type ClientErrorCode = "SIGNALING_UNKNOWN_HOST" | "SIGNALING_UNREACHABLE" | "SIGNALING_PROXY" | "SIGNALING_TLS_MISSING" | "SIGNALING_TLS_UNTRUSTED" | "SIGNALING_TLS_EXPIRED" | "SIGNALING_TLS_WRONG_NAME" | "SIGNALING_TLS_FAILED" | "SIGNALING_FORBIDDEN" | "SIGNALING_WRONG_PATH" | "SIGNALING_REDIRECTED" | "SIGNALING_BUSY" | "SIGNALING_FULL" | "SIGNALING_REFUSED" | "SIGNALING_TIMEOUT" | "SIGNALING_NOT_A_RELAY" | "SIGNALING_OTHER_VERSION" | "SIGNALING_TOKEN_NEEDED" | "SIGNALING_TOKEN_REFUSED" | "SIGNALING_TOKEN_EXPOSED" | "SIGNALING_BANNED" | "SIGNALING_KICKED" | "SIGNALING_REJECTED" | "SIGNALING_CLOSED" | "SIGNALING_BROKEN" | "SIGNALING_SILENT" | "SIGNALING_STALLED" | "SIGNALING_GARBAGE";

/**
 * The codes of the faults that the program finds itself, as reports and the window show them.
 */
export type AppErrorCode = "INTERNAL" | "BAD_INVITE" | "INVITE_NOT_SUPPORTED" | "INVITE_REFUSED" | "INVITE_SPENT" | "CA_FILE_UNREADABLE" | "CA_FILE_INVALID" | "TOKEN_WITHOUT_SERVER" | "TOKEN_NOT_SAVED" | "TOKEN_NOT_DELETED" | "NO_MEDIA" | "RELAY_NOT_STARTED" | "NEARBY_NOT_STARTED" | "SETTINGS_BROKEN" | "SETTINGS_NEWER" | "SETTINGS_NOT_SAVED" | "PICTURE_NOT_SAVED" | "SETTINGS_UNREADABLE";

/**
 * Where a problem is shown.
 */
export type ProblemPlace = "camera" | "microphone" | "speaker" | "server" | "access" | "host" | "nearby" | "settings" | "room" | "invite" | "call";

/**
 * What the user requests with a button, a menu or a key.
 *
 * All fields are required, even those that may be `null`. Serde refuses unknown fields, except
 * beside the `type` of a command without fields, where it ignores them.
 */
export type Command = { "type": "findPartner" } | { "type": "callWithCode", code: string, } | { "type": "invite" } | { "type": "cancelInvite" } | { "type": "acceptCall", id: number, video: boolean, } | { "type": "declineCall", id: number, } | { "type": "joinOpened" } | { "type": "dismissOpened" } | { "type": "callRecent", id: number, } | { "type": "removeRecent", id: number, } | { "type": "clearRecents" } | { "type": "openNearby" } | { "type": "closeNearby" } | { "type": "callNearby", id: string, } | { "type": "callAddress", address: string, } | { "type": "setAlwaysNearby", on: boolean, } | { "type": "toggleFullScreen" } | { "type": "welcomed" } | { "type": "retryServer" } | { "type": "confirmClose", close: boolean, } | { "type": "cancel" } | { "type": "hangUp" } | { "type": "next" } | { "type": "retry" } | { "type": "toLobby" } | { "type": "setMuted", muted: boolean, } | { "type": "setCameraOn", on: boolean, } | { "type": "setCamera", id: string | null, } | { "type": "setMicrophone", id: string | null, } | { "type": "setSpeaker", id: string | null, } | { "type": "setRing", speaker: string | null, volume: number, } | { "type": "testRing" } | { "type": "setName", name: string, } | { "type": "setAbout", age: number | null, location: string, } | { "type": "setPicture", picture: string | null, } | { "type": "setServerUrl", url: string, } | { "type": "setToken", token: string, } | { "type": "forgetToken" } | { "type": "setCaFile", path: string, } | { "type": "setSingleKeyShortcuts", on: boolean, } | { "type": "setTheme", theme: Theme, } | { "type": "setVideoQuality", size: VideoSize, codec: Codec, maxBitrateKbps: number, } | { "type": "setProcessing", echoCancellation: boolean, noiseSuppression: boolean, autoGain: boolean, } | { "type": "startHost", lan: boolean, } | { "type": "stopHost" } | { "type": "testSpeaker" } | { "type": "wordsCompared", words: [string, string, string, string], equal: boolean, } | { "type": "acceptRules" } | { "type": "setStrangerRelay", on: boolean, } | { "type": "allowStrangerDirect", server: string, } | { "type": "takeBackStrangerDirect", server: string, } | { "type": "setInterests", interests: Array<string>, } | { "type": "strangerShown", id: number, } | { "type": "report", reason: ReportReason, text: string, snapshot: boolean, } | { "type": "block" } | { "type": "refreshDevices" } | { "type": "dismissProblem", id: number, };

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
export type CommandErrorCode = "NOT_NOW" | "BAD_COMMAND" | "BAD_ROOM" | "BAD_LINK" | "BAD_NAME" | "BAD_AGE" | "BAD_LOCATION" | "BAD_PICTURE" | "BAD_RELAY_URL" | "BAD_TOKEN" | "TOKEN_EXPOSED" | "BAD_PATH" | "UNKNOWN_DEVICE" | "NO_SERVER" | "UNKNOWN_CALL" | "UNKNOWN_RECENT" | "BAD_ADDRESS" | "UNKNOWN_NEARBY" | "RULES_NOT_ACCEPTED" | "BAD_INTERESTS" | "BAD_REPORT" | "BAD_BITRATE" | "UNKNOWN_PROBLEM" | "RATE_LIMITED" | "CLOSING";

/**
 * Where the page gets frames: see the module `frames`.
 */
export type FrameSocket = { 
/**
 * `ws://127.0.0.1:PORT/frames`. The page offers the subprotocols `tandem-frames` and
 * `bearer.TOKEN`.
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
