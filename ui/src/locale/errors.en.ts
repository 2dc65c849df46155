// What went wrong, in words, by code: what happened, and one thing to do about it.

export interface Words {
  what: string;
  todo: string;
}

const TRY_NEXT = "Try the next partner.";
const CHECK_ADDRESS = "Check the address in the settings, and that the relay is running.";
const LOOK_AGAIN = "Plug one in and look again, or choose another.";

export const ERRORS: Record<string, Words> = {
  // Cameras
  CAM_NOT_FOUND: { what: "No camera was found.", todo: "Plug one in and look again, or continue with sound only." },
  CAM_IN_USE: {
    what: "The camera is used by another app.",
    todo: "Close it and try again, or continue with sound only.",
  },
  CAM_UNPLUGGED: { what: "The camera was unplugged.", todo: "Plug it in again, or choose another one." },
  CAM_TIMEOUT: { what: "The camera does not answer.", todo: "Unplug it, plug it in again, and choose it once more." },
  CAM_FORMAT: { what: "The camera's picture cannot be read.", todo: "Choose another camera." },
  CAM_DENIED: {
    what: "Tandem may not use the camera.",
    todo: "Allow it in the system's privacy settings, then choose the camera again.",
  },

  // Microphones
  MIC_NOT_FOUND: { what: "No microphone was found.", todo: LOOK_AGAIN },
  MIC_IN_USE: { what: "The microphone is used by another app.", todo: "Close it, then choose the microphone again." },
  MIC_UNPLUGGED: { what: "The microphone was unplugged.", todo: "Plug it in again, or choose another one." },
  MIC_TIMEOUT: {
    what: "The microphone does not answer.",
    todo: "Unplug it, plug it in again, and choose it once more.",
  },
  MIC_FORMAT: { what: "The microphone's sound cannot be read.", todo: "Choose another microphone." },
  MIC_DENIED: {
    what: "Tandem may not use the microphone.",
    todo: "Allow it in the system's privacy settings, then choose the microphone again.",
  },

  // Speakers
  SPEAKER_NOT_FOUND: { what: "No speaker was found.", todo: LOOK_AGAIN },
  SPEAKER_IN_USE: { what: "The speaker is used by another app.", todo: "Close it, then choose the speaker again." },
  SPEAKER_UNPLUGGED: { what: "The speaker was unplugged.", todo: "Plug it in again, or choose another one." },
  SPEAKER_TIMEOUT: { what: "The speaker does not answer.", todo: "Choose another speaker." },
  SPEAKER_FORMAT: { what: "The speaker does not take this app's sound.", todo: "Choose another speaker." },
  SPEAKER_DENIED: {
    what: "Tandem may not use the speaker.",
    todo: "Allow it in the system's privacy settings, then choose the speaker again.",
  },

  // Files
  FILE_UNREADABLE: { what: "The file cannot be read.", todo: "Check that it exists and that you may open it." },
  FILE_BAD_FORMAT: { what: "The file has a format that Tandem does not know.", todo: "Choose a Y4M or WAV file." },
  FILE_UNWRITABLE: { what: "The file cannot be written.", todo: "Choose a folder in which you may write." },
  DISK_FULL: { what: "The disk is full.", todo: "Free some space; the call itself goes on." },

  // How a call ends
  HUNG_UP: { what: "You ended the call.", todo: "Find the next partner whenever you like." },
  CANCELLED: { what: "You stopped the search.", todo: "Start again whenever you like." },
  NO_PARTNER: { what: "Nobody was there in time.", todo: "Try again in a little while." },
  NO_MEDIA: { what: "Neither picture nor sound came through.", todo: "Try again, or choose other devices." },
  RELAY_UNREACHABLE: { what: "The relay cannot be reached.", todo: CHECK_ADDRESS },
  RELAY_REFUSED: {
    what: "The relay would not look for a partner.",
    todo: "Check your name and the code, then try again.",
  },
  RELAY_NOT_STARTED: {
    what: "The relay in this app could not start.",
    todo: "Close other copies of Tandem and try again.",
  },
  CONNECT_TIMEOUT: { what: "A partner was found, but no connection came up in time.", todo: TRY_NEXT },
  CONNECTION_FAILED: {
    what: "No path to the partner was found.",
    todo: "Check that your firewall lets UDP through, then try again.",
  },
  NO_TURN_SERVER: {
    what: "Only relayed calls are wanted, and the relay names no TURN server.",
    todo: "Choose another relay in the settings, or allow direct calls.",
  },
  BAD_DESCRIPTION: { what: "The partner's app said something that cannot be understood.", todo: TRY_NEXT },
  NO_COMMON_CODEC: { what: "The partner's app knows none of this app's formats.", todo: TRY_NEXT },
  PARTNER_LEFT: { what: "Your partner left the call.", todo: "Find the next one whenever you like." },
  PARTNER_VANISHED: { what: "Your partner's connection was lost.", todo: "Try to find each other again." },

  // The relay
  SIGNALING_URL_INVALID: {
    what: "The relay's address is not an address.",
    todo: "Write it in the settings like ws://192.168.1.20:9000/ws.",
  },
  SIGNALING_URL_UNSUPPORTED: {
    what: "The relay's address is of a kind that Tandem does not know.",
    todo: "Write it in the settings like ws://192.168.1.20:9000/ws.",
  },
  SIGNALING_TLS_UNSUPPORTED: {
    what: "This version cannot reach a relay by wss://.",
    todo: "Ask who runs the relay for a ws:// address.",
  },
  SIGNALING_TLS_FAILED: {
    what: "The relay's certificate cannot be trusted.",
    todo: "Check the address, or ask who runs the relay.",
  },
  SIGNALING_UNREACHABLE: { what: "The relay cannot be reached.", todo: CHECK_ADDRESS },
  SIGNALING_REFUSED: { what: "The relay refused the connection.", todo: "Try again in a minute." },
  SIGNALING_TIMEOUT: { what: "The relay does not answer.", todo: CHECK_ADDRESS },
  SIGNALING_NOT_A_RELAY: { what: "What answers at the relay's address is no relay.", todo: CHECK_ADDRESS },
  SIGNALING_REJECTED: { what: "The relay does not want this app.", todo: "Choose another relay in the settings." },
  SIGNALING_CLOSED: { what: "The relay closed the connection.", todo: "Wait a moment: it is being tried again." },
  SIGNALING_BROKEN: { what: "The connection to the relay broke.", todo: "Wait a moment: it is being tried again." },
  SIGNALING_SILENT: { what: "The relay has fallen silent.", todo: "Check your network." },
  SIGNALING_STALLED: { what: "The relay takes nothing in.", todo: "Check your network." },
  SIGNALING_GARBAGE: { what: "The relay says things that make no sense.", todo: CHECK_ADDRESS },
  SIGNALING_NOT_CONNECTED: {
    what: "There is no connection to the relay at the moment.",
    todo: "Wait a moment: it is being tried again.",
  },
  SIGNALING_QUEUE_FULL: { what: "Too much is waiting to be sent to the relay.", todo: "Check your network." },
  SIGNALING_MESSAGE_TOO_LARGE: { what: "Something is too long for the relay.", todo: "Choose a shorter name." },

  // The settings file
  SETTINGS_BROKEN: {
    what: "Your settings could not be read, so Tandem begins with new ones.",
    todo: "Look them over; the old file is kept beside the new one.",
  },
  SETTINGS_NEWER: {
    what: "Your settings are those of a newer Tandem, so this one begins with new ones.",
    todo: "Update Tandem; the old file is kept beside the new one.",
  },
  SETTINGS_UNREADABLE: {
    what: "Your settings file cannot be read.",
    todo: "Check that you may open it; until then Tandem begins with new settings.",
  },
  SETTINGS_NOT_SAVED: {
    what: "Your settings cannot be saved.",
    todo: "Free some space on the disk, or check that you may write there.",
  },

  // What the page may not ask for
  NOT_NOW: { what: "That is not possible right now.", todo: "Try again in a moment." },
  BAD_ROOM: {
    what: "That is not a code.",
    todo: "Use 1 to 64 letters (A–Z), digits, hyphens or underscores.",
  },
  BAD_NAME: { what: "That name is too long.", todo: "Use 40 characters at most." },
  BAD_RELAY_URL: { what: "That is not a relay's address.", todo: "Write it like ws://192.168.1.20:9000/ws." },
  UNKNOWN_DEVICE: { what: "That device is no longer there.", todo: "Look for devices again." },
  UNKNOWN_PROBLEM: { what: "That is settled already.", todo: "Just go on." },
  RATE_LIMITED: { what: "That was too much at once.", todo: "Try again in a second." },
  CLOSING: { what: "Tandem is closing.", todo: "Start it again if you want to go on." },
  COMMAND_FAILED: { what: "Tandem could not do that.", todo: "Try again, or restart Tandem." },
  APP_UNREACHABLE: {
    what: "The app behind this page does not answer.",
    todo: "Close the window and start Tandem again.",
  },
};

/** For a code that this version of the page has never heard of. */
export const UNKNOWN_ERROR: Words = { what: "Something went wrong.", todo: "Try again, or restart Tandem." };
