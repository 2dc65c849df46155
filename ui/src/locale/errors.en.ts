// What to say about each error code: what happened, and one thing to do about it.

import type { PageCode } from "../backend";
import {
  type CommandErrorCode,
  type ConnectProblem,
  type ErrorCode,
  MAX_INTEREST_CHARS,
  MAX_INTERESTS,
  MAX_REPORT_CHARS,
  MAX_ROOM_CHARS,
  MAX_USER_LOCATION_CHARS,
  MAX_USER_NAME_CHARS,
  USER_AGES,
} from "../generated/contract";

/** Any code that the page may show. */
export type Code = ErrorCode | ConnectProblem | CommandErrorCode | PageCode;

/** Words for an error. There is nothing to do about some of them. */
export interface Words {
  what: string;
  todo?: string;
}

const CHECK_BOTH = "Check your internet connection, or the server address in Settings.";
const CHECK_ADDRESS = "Check the server address in Settings.";
const NEW_INVITE = "Ask the other person for a new invite.";
const CHECK_INTERNET = "Check your internet connection, then try again.";
const EXAMPLE_ADDRESS = "Enter one like chat.example.org or 192.168.1.20:9000.";
const IN_A_MINUTE = "Try again in a minute.";
const UPDATE_BOTH = "Make sure you both have the latest version of Tandem.";
const RESTART = "Try again, or restart Tandem.";

/**
 * Keyed by code. The app's codes are generated from Rust, so a code without words, or words without
 * a code, does not compile.
 */
export const ERRORS = {
  // Cameras
  CAM_NOT_FOUND: {
    what: "No camera found.",
    todo: "Plug one in, or continue without video.",
  },
  CAM_IN_USE: {
    what: "Another app is using your camera.",
    todo: "Close that app, then try again.",
  },
  CAM_UNPLUGGED: {
    what: "Your camera was unplugged.",
    todo: "Plug it back in, or choose another camera.",
  },
  CAM_TIMEOUT: {
    what: "Your camera isn't responding.",
    todo: "Unplug it, then plug it back in.",
  },
  CAM_FORMAT: {
    what: "Tandem can't read this camera's video.",
    todo: "Choose another camera.",
  },
  CAM_DENIED: {
    what: "Tandem doesn't have permission to use the camera.",
    todo: "Allow it in your system's privacy settings, then try again.",
  },
  CAM_NOT_NEGOTIATED: {
    what: "The other app isn't set up to receive your video.",
    todo: "To be seen, start a new call.",
  },

  // Microphones
  MIC_NOT_FOUND: {
    what: "No microphone found.",
    todo: "Plug one in, then try again.",
  },
  MIC_IN_USE: {
    what: "Another app is using your microphone.",
    todo: "Close that app, or choose another microphone.",
  },
  MIC_UNPLUGGED: {
    what: "Your microphone was unplugged.",
    todo: "Plug it back in, or choose another microphone.",
  },
  MIC_TIMEOUT: {
    what: "Your microphone isn't responding.",
    todo: "Unplug it and plug it back in, or choose another one.",
  },
  MIC_FORMAT: {
    what: "Tandem can't read this microphone's audio.",
    todo: "Choose another microphone.",
  },
  MIC_DENIED: {
    what: "Tandem doesn't have permission to use the microphone.",
    todo: "Allow it in your system's privacy settings, then try again.",
  },
  MIC_NOT_NEGOTIATED: {
    what: "The other app isn't set up to receive your audio.",
    todo: "To be heard, start a new call.",
  },

  // Speakers
  SPEAKER_NOT_FOUND: {
    what: "No speaker found.",
    todo: "Plug in a speaker or headphones.",
  },
  SPEAKER_IN_USE: {
    what: "Another app is using your speaker.",
    todo: "Close that app, or choose another speaker.",
  },
  SPEAKER_UNPLUGGED: {
    what: "Your speaker was unplugged.",
    todo: "Plug it back in, or choose another speaker.",
  },
  SPEAKER_TIMEOUT: {
    what: "Your speaker isn't responding.",
    todo: "Choose another speaker.",
  },
  SPEAKER_FORMAT: {
    what: "Tandem can't play sound on this speaker.",
    todo: "Choose another speaker.",
  },
  SPEAKER_DENIED: {
    what: "Tandem doesn't have permission to use the speaker.",
    todo: "Allow it in your system's privacy settings, then try again.",
  },

  // Files
  FILE_UNREADABLE: {
    what: "The file can't be opened.",
    todo: "Check that it exists and that you're allowed to read it.",
  },
  FILE_BAD_FORMAT: {
    what: "Tandem doesn't support this file's format.",
    todo: "Choose a Y4M or WAV file.",
  },
  FILE_UNWRITABLE: {
    what: "The file can't be saved.",
    todo: "Choose a folder you're allowed to write to.",
  },
  DISK_FULL: {
    what: "Your disk is full, but your call isn't affected.",
    todo: "Free up some space.",
  },

  // How a call ends
  HUNG_UP: { what: "You ended the call." },
  CANCELLED: { what: "You stopped searching." },
  NO_PARTNER: {
    what: "No one was available.",
    todo: "Try again in a little while.",
  },
  NO_MEDIA: {
    what: "No video or sound came through.",
    todo: "Try again, or choose other devices.",
  },
  RELAY_UNREACHABLE: { what: "Can't reach the server.", todo: CHECK_BOTH },
  NO_SUCH_ROOM: {
    what: "This invite doesn't work any more.",
    todo: "Check the number, or ask for a new invite.",
  },
  DECLINED: { what: "They can't talk right now.", todo: "Try again later." },
  NO_ANSWER: { what: "No one answered.", todo: "Try again later." },
  RELAY_REFUSED: {
    what: "The server refused the request.",
    todo: "Check your name and the code, or choose another server in Settings.",
  },
  // What is wrong with the server
  SIGNALING_UNKNOWN_HOST: { what: "There's no server with that name.", todo: CHECK_BOTH },
  SIGNALING_UNREACHABLE: { what: "Can't reach the server.", todo: CHECK_BOTH },
  SIGNALING_TIMEOUT: { what: "The server isn't answering.", todo: CHECK_BOTH },
  SIGNALING_PROXY: {
    what: "Your network's proxy doesn't let Tandem through to the server.",
    todo: "Check your system's proxy settings.",
  },
  SIGNALING_TLS_MISSING: {
    what: "This server doesn't offer an encrypted connection.",
    todo: CHECK_ADDRESS,
  },
  SIGNALING_TLS_UNTRUSTED: {
    what: "This computer doesn't trust the server's certificate.",
    todo: "Use another network, or ask the people who run the server for its certificate file.",
  },
  SIGNALING_TLS_EXPIRED: {
    what: "The server's certificate isn't valid today.",
    todo: "Check this computer's date, or ask the people who run the server.",
  },
  SIGNALING_TLS_WRONG_NAME: {
    what: "The server's certificate is for a different address.",
    todo: CHECK_ADDRESS,
  },
  SIGNALING_TLS_FAILED: {
    what: "Tandem couldn't set up an encrypted connection to the server.",
    todo: "Try again, or use another network.",
  },
  SIGNALING_FORBIDDEN: {
    what: "The server doesn't accept this app.",
    todo: "Update Tandem, or choose another server in Settings.",
  },
  SIGNALING_WRONG_PATH: {
    what: "There's no Tandem server at this address.",
    todo: "Check the end of the server address in Settings.",
  },
  SIGNALING_REDIRECTED: {
    what: "This server has moved.",
    todo: "Ask the people who run it for the new address.",
  },
  SIGNALING_BUSY: {
    what: "The server has too many connections from your network.",
    todo: IN_A_MINUTE,
  },
  SIGNALING_FULL: { what: "The server is full right now.", todo: IN_A_MINUTE },
  SIGNALING_REFUSED: {
    what: "The server refused the connection.",
    todo: "Check the server address in Settings, or try again later.",
  },
  SIGNALING_NOT_A_RELAY: { what: "That isn't a Tandem server.", todo: CHECK_ADDRESS },
  SIGNALING_OTHER_VERSION: {
    what: "The server has a different version of Tandem.",
    todo: "Update Tandem, or ask the people who run the server to update it.",
  },
  SIGNALING_TOKEN_NEEDED: {
    what: "This server is private and needs a token.",
    todo: "Ask the people who run it for one, then enter it in Settings.",
  },
  SIGNALING_TOKEN_REFUSED: {
    what: "The server doesn't accept your token.",
    todo: "Ask the people who run it for a new one, then replace it in Settings.",
  },
  SIGNALING_TOKEN_EXPOSED: {
    what: "Tandem didn't send your token, because the connection isn't encrypted.",
    todo: "Enter a server address that starts with wss://.",
  },
  SIGNALING_BANNED: {
    what: "You've been banned from this server.",
    todo: "Ask the people who run it, or choose another server in Settings.",
  },
  SIGNALING_KICKED: {
    what: "The people who run the server ended your connection.",
    todo: IN_A_MINUTE,
  },
  SIGNALING_REJECTED: {
    what: "The server can't connect you right now.",
    todo: IN_A_MINUTE,
  },
  SIGNALING_CLOSED: { what: "The server closed the connection.", todo: IN_A_MINUTE },
  SIGNALING_BROKEN: { what: "The connection to the server was lost.", todo: CHECK_INTERNET },
  SIGNALING_SILENT: { what: "The server stopped responding.", todo: CHECK_INTERNET },
  SIGNALING_STALLED: { what: "The server stopped responding.", todo: CHECK_INTERNET },
  SIGNALING_GARBAGE: {
    what: "The server sent something Tandem doesn't understand.",
    todo: "Update Tandem, or choose another server in Settings.",
  },

  RELAY_NOT_STARTED: {
    what: "Tandem couldn't start hosting.",
    todo: "Close other copies of Tandem, then try again.",
  },
  NEARBY_NOT_STARTED: {
    what: "People nearby can't find or call you.",
    todo: "Open People nearby to try again.",
  },
  CONNECT_TIMEOUT: {
    what: "Connecting took too long.",
    todo: "Try again.",
  },
  CONNECTION_FAILED: {
    what: "Couldn't connect to the other person.",
    todo: "Try again, or use another network.",
  },
  NO_TURN_SERVER: {
    what: "This server can't forward calls.",
    todo: "Choose another server in Settings.",
  },
  NO_STUN_SERVER: {
    what: "This server can't connect people who don't know each other.",
    todo: "Choose another server in Settings.",
  },
  NO_TURN_OFFERED: {
    what: "These two networks let no direct call through, and this server can't forward it.",
    todo: "Use another network or another server.",
  },
  TURN_REFUSED: {
    what: "This server's forwarding is set up wrong, so the call couldn't start.",
    todo: "Ask the people who run the server to check its settings.",
  },
  TURN_FAILED: {
    what: "This server can't forward another call right now.",
    todo: "Try again later.",
  },
  UDP_BLOCKED: {
    what: "The server that forwards calls doesn't answer, or your network blocks it.",
    todo: "Use another network, such as your phone's, or try again later.",
  },
  TURN_UNREACHABLE: {
    what: "The server that forwards calls doesn't answer.",
    todo: "Use another network, or try again later.",
  },
  PARTNER_HAS_NO_ROUTE: {
    what: "The other person's app found no way to connect.",
    todo: "Ask them to use another network.",
  },
  BAD_DESCRIPTION: {
    what: "The other app sent something Tandem doesn't understand.",
    todo: UPDATE_BOTH,
  },
  NO_COMMON_CODEC: {
    what: "The other app uses audio and video formats that Tandem doesn't support.",
    todo: UPDATE_BOTH,
  },
  PARTNER_LEFT: { what: "The other person left the call." },
  PARTNER_VANISHED: {
    what: "The connection to the other person was lost.",
    todo: "Try calling again.",
  },

  PARTNER_MISBEHAVED: {
    what: "The other app did something that could have harmed this computer, so Tandem ended the call.",
  },

  CODE_MISMATCH: {
    what: "The words don't match: one of you entered a wrong code, or someone is trying to listen in.",
    todo: "Check the code with the other person, then try again.",
  },

  BANNED: {
    what: "You've been banned from this server, so the call ended.",
    todo: "Ask the people who run it, or choose another server in Settings.",
  },
  KICKED: { what: "The people who run the server ended this call." },

  // The settings file
  SETTINGS_BROKEN: {
    what: "Some of your settings couldn't be read, so Tandem reset those and kept the old file.",
    todo: "Check them in Settings.",
  },
  SETTINGS_NEWER: {
    what: "Your settings are from a newer version, so Tandem used what it could and kept the old file.",
    todo: "Update Tandem.",
  },
  SETTINGS_UNREADABLE: {
    what: "Your settings file can't be opened, so Tandem is using the default settings.",
    todo: "Check the file's permissions, then restart Tandem.",
  },
  SETTINGS_NOT_SAVED: {
    what: "Your settings can't be saved.",
    todo: "Free up disk space, or check the folder's permissions.",
  },

  PICTURE_NOT_SAVED: {
    what: "Your picture can't be saved.",
    todo: "Free up disk space, or check the folder's permissions.",
  },

  // Invites
  BAD_INVITE: {
    what: "That isn't an invite.",
    todo: "Copy the whole link, or type the code, such as 7-garden-lantern.",
  },
  INVITE_NOT_SUPPORTED: {
    what: "This server is too old for invites.",
    todo: "Agree on a code and both type it, or use another server.",
  },
  INVITE_REFUSED: { what: "The server can't create an invite right now.", todo: IN_A_MINUTE },
  INVITE_SPENT: {
    what: "Your invite no longer works, because the words didn't match five times.",
    todo: "Create a new invite, and give it only to the person you want to talk to.",
  },

  // Private servers
  CA_FILE_UNREADABLE: {
    what: "The certificate file can't be opened.",
    todo: "Check that it exists and that you're allowed to read it.",
  },
  CA_FILE_INVALID: {
    what: "Tandem can't use that certificate file.",
    todo: "Choose a file that begins with -----BEGIN CERTIFICATE----- and holds only certificates.",
  },
  TOKEN_NOT_SAVED: {
    what: "Your access token can't be saved.",
    todo: "Free up disk space, or check the folder's permissions.",
  },
  TOKEN_NOT_DELETED: {
    what: "Your access token can't be deleted from this computer.",
    todo: "Check the folder's permissions, or delete the file yourself.",
  },
  TOKEN_WITHOUT_SERVER: {
    what: "Tandem was started with a token, but without a server to use it for.",
    todo: "Enter the server address and the token in Settings.",
  },
  BAD_TOKEN: {
    what: "That isn't a complete token.",
    todo: "Copy it again, without spaces or line breaks.",
  },
  TOKEN_EXPOSED: {
    what: "The connection to this server isn't encrypted, so others could read your token.",
    todo: "Enter a server address that starts with wss:// first.",
  },
  BAD_PATH: {
    what: "That isn't the full path of a file.",
    todo: "Copy it from your file manager.",
  },

  // Refused commands
  NO_SERVER: { what: "You haven't chosen a server yet.", todo: "Enter one in Settings." },
  RULES_NOT_ACCEPTED: {
    what: "Read the rules first.",
    todo: "Choose “Meet someone new” on the home screen.",
  },
  BAD_INTERESTS: {
    what: "That's too many interests, or one of them is too long.",
    todo: `Enter at most ${MAX_INTERESTS}, of at most ${MAX_INTEREST_CHARS} characters each.`,
  },
  BAD_REPORT: {
    what: "That text is too long.",
    todo: `Use at most ${MAX_REPORT_CHARS} characters.`,
  },
  BAD_BITRATE: { what: "That limit is too low or too high.", todo: "Choose another one." },
  UNKNOWN_CALL: { what: "They're no longer calling." },
  BAD_ADDRESS: {
    what: "That isn't an address on your network.",
    todo: "Enter the address from the other person's list, like 192.168.1.20.",
  },
  UNKNOWN_NEARBY: { what: "They're no longer nearby." },
  UNKNOWN_RECENT: { what: "That call is no longer in the list." },
  NOT_NOW: { what: "That isn't possible right now.", todo: "Try again in a moment." },
  BAD_COMMAND: { what: "Tandem couldn't do that.", todo: RESTART },
  BAD_ROOM: {
    what: "Codes can only contain letters (A–Z), numbers, “-” and “_”.",
    todo: `Enter a code of 1 to ${MAX_ROOM_CHARS} characters.`,
  },
  BAD_LINK: {
    what: "That link isn't complete.",
    todo: "Copy the whole link again, or type the code.",
  },
  BAD_NAME: {
    what: "That name is too long.",
    todo: `Use up to ${MAX_USER_NAME_CHARS} characters.`,
  },
  BAD_AGE: {
    what: "Tandem doesn't take that age.",
    todo: `Enter one from ${USER_AGES.youngest} to ${USER_AGES.oldest}, or leave the field empty.`,
  },
  BAD_LOCATION: {
    what: "That place is too long.",
    todo: `Use up to ${MAX_USER_LOCATION_CHARS} characters.`,
  },
  BAD_PICTURE: {
    what: "Tandem can't show that picture.",
    todo: "Choose a photo in a common format, like JPEG or PNG.",
  },
  BAD_RELAY_URL: { what: "That doesn't look like a server address.", todo: EXAMPLE_ADDRESS },
  UNKNOWN_DEVICE: { what: "That device isn't connected any more.", todo: "Choose another one." },
  UNKNOWN_PROBLEM: { what: "That problem is already gone." },
  RATE_LIMITED: { what: "Tandem can't keep up.", todo: "Try again in a second." },
  CLOSING: { what: "Tandem is closing." },

  // The page's own codes: see `PageCode` in backend.ts
  COMMAND_FAILED: { what: "Tandem couldn't do that.", todo: RESTART },
  APP_UNREACHABLE: {
    what: "Tandem stopped responding.",
    todo: "Close the window and open it again.",
  },

  // The program itself
  INTERNAL: { what: "Tandem couldn't do that.", todo: RESTART },
} satisfies Record<Code, Words>;

/** For codes that this version of the page doesn't know. */
export const UNKNOWN_ERROR: Words = { what: "Something went wrong.", todo: RESTART };

/**
 * What to do instead where the server is that of a link or of an earlier call: the settings have
 * nothing to do with it.
 */
export const ADVICE_ELSEWHERE: Partial<Record<Code, string>> = {
  RELAY_UNREACHABLE: "Check your internet connection, or ask for a new invite.",
  RELAY_REFUSED: "Check your name and the code, or ask for a new invite.",
  SIGNALING_UNKNOWN_HOST: NEW_INVITE,
  SIGNALING_UNREACHABLE: "Check your internet connection, or ask for a new invite.",
  SIGNALING_TIMEOUT: "Check your internet connection, or ask for a new invite.",
  SIGNALING_TLS_MISSING: NEW_INVITE,
  SIGNALING_TLS_WRONG_NAME: NEW_INVITE,
  SIGNALING_FORBIDDEN: "Update Tandem, or ask the other person to use another server.",
  SIGNALING_WRONG_PATH: NEW_INVITE,
  SIGNALING_REFUSED: "Try again later, or ask the other person to use another server.",
  SIGNALING_NOT_A_RELAY: NEW_INVITE,
  SIGNALING_TOKEN_NEEDED: "To call there, make it your server in Settings and enter its token.",
  SIGNALING_TOKEN_REFUSED: "To call there, make it your server in Settings and enter its token.",
  SIGNALING_BANNED: "Ask the people who run it, or ask the other person to use another server.",
  BANNED: "Ask the people who run it, or ask the other person to use another server.",
  SIGNALING_GARBAGE: "Update Tandem, or ask the other person to use another server.",
  NO_TURN_SERVER: "Ask the other person to use another server.",
};
