// Every word on the page, in English. `{name}` stands for the other person: see `person.ts`.

import { ERRORS, ADVICE_ELSEWHERE, UNKNOWN_ERROR } from "./errors.en";
import { GUEST } from "./guest.en";

export const en = {
  appName: "Tandem",
  /** Someone who gave no name, at the start of a sentence and inside one. */
  anonymous: { start: "The other person", inside: "the other person" },
  loading: "One moment…",

  lobby: {
    title: "Ready when you are",
    subtitle: "Check your camera and sound before you start.",
    invite: "Invite someone",
    inviting: "Creating your invite…",
    inviteHint: "You'll get a code and a link to send. Tandem rings when someone uses it.",
    inviteReplaced: "The server lost your last invite. Send this new one instead.",
    cancelInvite: "Stop inviting",
    retryServer: "Try again",
    find: "Meet someone new",
    findHint: "We'll connect you with someone who's looking too.",
    codePlaceholder: "7-garden-lantern",
    codeHint:
      "Works with invites, links, and any code you agree on. Anyone with the code can join.",
    call: "Paste an invite or type a code",
    callShort: "Join",
    preview: "Camera preview",
    previewLabel: "Your video, mirrored",
    previewOff: "Your camera is off",
    previewStarting: "Starting your camera…",
    previewFailed: "No video from your camera",
  },

  host: {
    hint: "Everyone at home can then use this computer as their server.",
    start: "Host on this network",
    starting: "Starting…",
    on: "This computer is the server now",
    next: "Choose “Invite someone” and send the link to someone on the same network.",
    byAddress: "Connect without a link",
    tellOne:
      "On the other computer, enter this address in Settings → Server. Then both of you choose “Meet someone new”.",
    tellMany:
      "On the other computer, enter one of these addresses in Settings → Server. Then both of you choose “Meet someone new”.",
    noAddress: "This computer isn't on a network. Connect it, then start hosting again.",
    stop: "Stop hosting",
  },

  devices: {
    title: "Camera and sound",
    camera: "Camera",
    microphone: "Microphone",
    speaker: "Speaker",
    systemDefault: "Default",
    missing: "Not connected",
    without: { camera: "No camera", microphone: "No microphone", speaker: "No speaker" },
    refresh: "Refresh devices",
    test: "Test",
    testLabel: "Test your speaker",
    level: "Microphone level",
  },

  server: {
    /** `{server}` is the server's name. */
    connecting: "Connecting to {server}…",
    connected: "Connected to {server}",
    unreachable: "Can't reach {server}",
    lost: "Can't reach the server",
    back: "Connected to the server",
    exposed:
      "The connection to this server isn't encrypted. Others on the network can see who you call, and could listen in.",
  },

  settings: {
    title: "Settings",
    close: "Close",
    server: "Server",
    serverUrl: "Server address",
    serverPlaceholder: "chat.example.org",
    serverHint: "Connects you with other people. Both of you need to use the same server.",
    serverNextCall: "A new address applies from the next call on.",
    hosting: "While you're hosting, this computer is the server.",
    /** For private servers. */
    access: {
      title: "Token or certificate for a private server",
      token: "Access token",
      save: "Save",
      forget: "Forget",
      /** `{server}` is the server's name. */
      saved: "Saved for {server}.",
      launched: "For {server}, until you close Tandem.",
      tokenHint: "From the people who run the server. Tandem sends it to {server} only.",
      tokenNoServer: "Enter the server address first.",
      caFile: "Certificate file",
      caFileHint:
        "Only if your company or school gave you one. Enter its full path, or leave this empty.",
    },
    appearance: "Appearance",
    theme: "Theme",
    themes: { system: "System", light: "Light", dark: "Dark" },
    strangers: "Meet someone new",
    strangerRelay: "Hide your address",
    strangerRelayHint:
      "People you meet this way don't see your IP address, unless you agree to it for a server. Video passes through a server, which can make it slower.",
    strangerDirect: "Servers that may show your address",
    strangerDirectHint: "You agreed to this because they can't hide it.",
    strangerDirectForget: "Ask again",
    strangerDirectForgetLabel: "Ask again before connecting directly at {server}",
    voice: "Your voice",
    echoCancellation: "Echo cancellation",
    echoCancellationHint: "Keeps people from hearing themselves.",
    noiseSuppression: "Noise reduction",
    noiseSuppressionHint: "Reduces fan, keyboard and street noise.",
    autoGain: "Automatic volume",
    autoGainHint: "Makes quiet voices louder.",
    data: "Data use",
    maxBitrate: "Your video uses at most",
    /** `{mb}` is a number of megabytes. */
    megabytesPerHour: "{mb} MB an hour",
    videoSize: "Video size",
    codec: "Video format",
    codecs: { h264: "H.264", vp8: "VP8" },
    nextCall: "Applies from the next call on.",
    ring: "Ringing",
    ringSpeaker: "Ring on",
    ringSpeakerDefault: "Same speaker as calls",
    ringVolume: "Ring volume",
    ringTest: "Test",
    ringTestLabel: "Test the ring",
    keys: "Keyboard shortcuts",
    singleKeys: "Shortcuts without Ctrl",
    singleKeysHint: "Switch this off if you press M or V by accident.",
    shortcuts: {
      mute: "Mute or unmute",
      camera: "Stop or start video",
      hangUp: "Hang up",
      fullScreen: "Enter or leave full screen",
      settings: "Open settings",
      zoomIn: "Make everything larger",
      zoomOut: "Make everything smaller",
      zoomReset: "Back to normal size",
    },
  },

  waiting: {
    title: "Looking for someone…",
    hint: "We'll connect you as soon as we find someone.",
    hintSeen: "They can't see or hear you before you see who they are.",
    titleRoom: "Waiting for the other person…",
    hintInvited: "We'll connect you as soon as they're available.",
    hintRoom: "Share this code. We'll connect you as soon as they enter it.",
    ringing: "Ringing…",
    ringingHint: "We'll connect you as soon as they accept.",
    calling: "Calling {name}",
    callingHint: "Looking for them…",
    /** `{server}` is the server's name. */
    server: "On {server}, for this call only.",
    elapsed: "Waiting for",
    cancel: "Cancel",
  },

  connecting: {
    title: "Connecting to {name}",
    timedOut: "This is taking longer than usual.",
    timedOutTodo: "You can try again or cancel.",
    timedOutWait: "You can keep waiting or cancel.",
    retry: "Try again",
    cancel: "Cancel",
  },

  call: {
    /** Read before the name in the heading. */
    title: "In a call with",
    remote: "{name}'s video",
    local: "Your video. Move it with the arrow keys, or press Home to put it back.",
    localOff: "Your camera is off",
    localNone: "No video",
    controls: "Call controls",
    mute: "Mute",
    unmute: "Unmute",
    muteLabel: "Mute your microphone",
    unmuteLabel: "Unmute your microphone",
    stopVideo: "Stop video",
    startVideo: "Start video",
    next: "Next",
    nextLabel: "Next: leave this call and meet someone else",
    hangUp: "Hang up",
    hangUpLabel: "Hang up and end the call",
    time: "Call time",
    waitingForVideo: "Waiting for video…",
    partnerMuted: "{name} is muted",
    partnerCameraOff: "{name}'s camera is off",
    partnerRefusesAudio: "{name} isn't receiving your sound",
    partnerRefusesVideo: "{name} isn't receiving your video",
    connection: {
      /** Shown until the quality is known. */
      unknown: "Connection",
      details: "Connection details",
      quality: { 1: "Poor", 2: "Fair", 3: "Good" },
      qualityUnknown: "Tandem is still measuring the connection.",
      qualityWords: {
        1: "The connection is poor. Video may stop now and then.",
        2: "The connection is fair. Video may be less sharp.",
        3: "The connection is good.",
      },
      direct: "Audio and video go straight from one computer to the other.",
      relayed: "Audio and video pass through a server, still encrypted.",
      verify: "Who's at the other end?",
    },
    /** How far it is sure who is at the other end. */
    verification: {
      title: "Who's at the other end?",
      open: "what this means",
      close: "Close",
      badge: {
        notVerified: "Encrypted, not verified",
        verifiedByCode: "Encrypted, verified by your code",
        verifiedByUser: "Encrypted, verified by you",
      },
      explanation: {
        notVerified:
          "Others on the network can't see or hear your call. The server that connected you could listen in unnoticed, or anyone who changes what it sends.",
        verifiedByCode:
          "You both have the same code, so no one in between can listen in, not even the server. It doesn't say who has the code, so give it only to the person you want to talk to.",
        verifiedByUser:
          "If you know the other person's face or voice, or compared the words another way, no one in between can listen in, not even the server. This applies to this call only.",
      },
      /** In place of `verifiedByUser`, in a call with a stranger. */
      verifiedStranger:
        "You compared the words with someone you don't know. Someone in between could have read out other words and could be listening in.",
      /** For the person who made the invite. */
      browser:
        "If the other person joined in a browser, the website could read the code they entered there, and listen in with it. If you don't trust that website, ask them to use the Tandem app.",
      words: "Compare these words",
      compare:
        "The other person opens this page, too, and you read the words to each other. All four have to be the same, in the same order.",
      voice:
        "In this call, it only works if you know the other person's face or voice: someone in between could read out other words. If you don't, compare the words by phone or in another app.",
      /** In place of `voice`, in a call with a stranger. */
      voiceStranger:
        "In this call, someone in between could read out other words, and you don't know the other person's voice. Comparing the words by phone or in another app is safer.",
      match: "They match",
      differ: "They differ",
      differNote: "If they differ, someone may be listening in, so Tandem ends the call.",
      awaited: "The words to compare are on their way.",
      unavailable:
        "There are no words to compare. The other person's app doesn't have them, or the server has removed them.",
    },
    /** Before the interests that both gave. */
    inCommon: "You both like",
    reconnecting: "Reconnecting…",
    reconnectingHint: "The connection to {name} was lost.",
    reconnectingEnds: "Time until the call ends",
    serverLost: "Can't reach the server. Your call isn't affected.",
    partnerServerLost: "{name} lost the connection to the server. Your call isn't affected.",
    youAreMuted: "You're muted",
  },

  ended: {
    title: { ended: "Call ended", failed: "Couldn't connect" },
    left: "{name} left the call.",
    duration: "You talked for",
    /** After a call with anyone. */
    next: "Find someone else",
    /** After a search that led to no call. */
    retry: "Try again",
    /** After a call with a code. */
    again: "Call again",
    home: "Back to home",
    /** A person of an earlier call, whose Tandem is not open. */
    away: "They can't be reached right now.",
    awayTodo: "Try again later.",
    awayNearby: "They may have closed People nearby, or left the network. Try again later.",
    /** A person nearby whose Tandem is open, but takes no calls. */
    busy: "They can't take calls right now.",
    busyNearby: "They may be in another call, or have just closed People nearby. Try again later.",
    /** The code, or the safety words, did not match. */
    mismatch: {
      safetyWords: {
        what: "The words don't match, so someone may be listening in.",
        todo: "Don't say anything private in a call like this one. Try another network or another server, or talk to them in another way.",
      },
      /** The other person may have said so by mistake. */
      partnersSafetyWords: {
        what: "The other person says that the words don't match, or something changed on the way. Someone may be listening in.",
        todo: "Don't say anything private in a call like this one. Try another network or another server, or talk to them in another way.",
      },
      invite: {
        what: "The words don't match. Either the other person entered a wrong code, or someone in between is trying to listen in.",
        todo: "Your invite still works, so read the code to them again. If it's right and still fails, try another network or another server.",
      },
      spentInvite: {
        what: "The words failed to match five times, so your invite no longer works. Someone may be guessing your code, or trying to listen in.",
        todo: "Create a new invite, and give it only to the person you want to talk to.",
      },
      code: {
        what: "The words don't match. Either you entered a wrong code, or someone in between is trying to listen in.",
        todo: "Check the code with the other person and enter it again. If it's right and still fails, try another network or another server.",
      },
      spentCode: {
        what: "This code failed five times, so Tandem won't use it any more.",
        todo: "Ask the other person for a new invite.",
      },
    },
    /** The server can't keep the user's address from a stranger. */
    direct: {
      title: "Connect directly?",
      what: "{server} can't hide your IP address. The people you meet could see it, and with it roughly where you are.",
      todo: "If you agree, Tandem won't ask again for that server. You can change it in Settings.",
      allow: "Connect directly",
    },
    newInvite: "Create a new invite",
    /** The server of a link, or of an earlier call. */
    privateServer: "{server} is private and needs a token.",
  },

  problem: {
    retry: "Try again",
    dismiss: "Dismiss",
    details: "Details",
    code: "Error code:",
  },

  /** How this language writes dates and times. */
  language: "en-GB",
  days: { today: "Today", yesterday: "Yesterday" },

  copy: {
    copied: "Copied",
    /** The text is selected; `{keys}` copies it. */
    selected: "Press {keys}",
  },

  /** People on the same network. */
  nearby: {
    title: "People nearby",
    lobbyHint: "Call someone on the same network. No internet needed.",
    hint: "Others on your network can see your name and call you while this is open.",
    close: "Close People nearby",
    starting: "Looking for people…",
    nobody: "No one yet. Ask the other person to open People nearby, too.",
    call: "Call",
    callLabel: "Call {name}",
    always: "Always visible",
    alwaysHint: "People on your network can see and call you whenever Tandem is open.",
    missing: "Can't find each other?",
    silent:
      "Tandem can't look for people on this network: a firewall or the network blocks it. You can still call someone by address.",
    noNetwork:
      "This computer isn't on a network. Connect it to the same network as the other person.",
    reasons: [
      "Both computers need to be on the same network. A guest Wi-Fi often keeps them apart.",
      "A firewall or VPN may be in the way. Allow Tandem in the firewall, or pause the VPN.",
    ],
    yourAddress: "Your address. The other person enters it under “Their address”:",
    yourAddresses: "Your addresses. The other person enters one of them under “Their address”:",
    copyAddress: "Copy address",
    qr: "QR code of the link to this computer",
    theirAddress: "Their address",
    addressPlaceholder: "192.168.1.20",
    host: "Use this computer as a server",
  },

  /** What other people see of the user. */
  profile: {
    title: "Your profile",
    name: "Your name",
    namePlaceholder: "Shown to the people you talk to",
    age: "Age (optional)",
    location: "Place (optional)",
    addPicture: "Add profile picture",
    changePicture: "Change profile picture",
    removePicture: "Remove profile picture",
    interests: "Interests (optional)",
    interestsHint:
      "Separate them with commas. “Meet someone new” looks for people who share some first, and shows you both which ones.",
    shown: "Everyone you call, strangers too, sees this from the next call on:",
  },

  welcome: {
    title: "How do you want to call?",
    invite: {
      title: "Invite someone",
      needs: "You get a code and a link to send. The other person can join in a browser.",
    },
    nearby: {
      title: "People nearby",
      needs: "For two computers on the same network. No internet needed.",
    },
    meet: {
      title: "Meet someone new",
      needs: "You need a server where others are looking too.",
    },
    join: "Paste an invite or type a code",
    joinPlaceholder: "7-garden-lantern",
    joinButton: "Join",
  },

  invite: {
    title: "Your invite",
    todo: "Read this code aloud or send the link, and keep Tandem open.",
    copyCode: "Copy code",
    copyLink: "Copy link",
    qr: "QR code of the link",
    webLink: "Link for a browser",
    /** `{server}` is the server's name. */
    noLink: "The other person needs to enter the server {server} in Settings first.",
    webLinkNote: "The website at {server} can see the words of the code.",
    appLink: "Link for the Tandem app",
  },

  incoming: {
    title: "Incoming call",
    announce: "{name} is calling",
    calling: "Wants to talk to you",
    invited: "Answers your invite",
    nearby: "Is on your network",
    nearbyInvited: "Answers your invite, on your network",
    /** While the user waits for someone with an invite. */
    notInvited: {
      known: "From an earlier call, not by your invite",
      nearby: "Is on your network, not by your invite",
    },
    accept: "Accept",
    acceptSound: "Sound only",
    decline: "Decline",
  },

  recents: {
    title: "Recent calls",
    call: "Call again",
    callLabel: "Call again: {name}",
    removeLabel: "Remove the call with {name}",
    notCallable: "can't be called again",
    clear: "Clear all",
    clearSure: "Clear all recent calls?",
    keep: "Keep",
  },

  opened: {
    title: "Join this call?",
    /** `{server}` is the server's name. */
    ownServer: "On your server, {server}.",
    noServer: "You need to choose a server first. Use the same one as the other person.",
    otherServer: "On {server}, for this call only.",
    join: "Join",
    dismiss: "Not now",
  },

  setup: {
    title: "Which server do you use?",
    hint: "A server introduces you to the other person. Ask the person who runs it for the address.",
    use: "Use this server",
    back: "Back",
    nearby: "No server? You can call people on the same network without one.",
  },

  /** Before the user meets a stranger for the first time. */
  rules: {
    title: "Meet someone new",
    close: "Close",
    what: "Tandem connects you with a stranger who's looking, too. You can move on or leave at any time.",
    rules: [
      "You're 18 or older.",
      "No nudity, no threats, no insults, no ads.",
      "Don't record others, and don't share what could identify you.",
      "If someone breaks the rules, report and block them.",
    ],
    devices: "Your camera starts off. You can switch it on while you wait or in the call.",
    accept: "I'm 18 or older and agree",
    refuse: "Not now",
  },

  report: {
    open: "Report",
    openLabel: "Report or block this person",
    title: "Report or block",
    close: "Close",
    reason: "Report: what's wrong?",
    reasons: {
      nudity: "Nudity",
      harassment: "Insults or threats",
      minor: "Under 18",
      spam: "Ads or fraud",
      other: "Something else",
    },
    more: "Add details first (optional)",
    text: "What happened?",
    snapshot: "Attach an image of what they show, or showed last",
    who: "The people who run the server read it. The other person isn't told.",
    status: {
      sending: "Sending your report…",
      sent: "Thank you. Your report was sent.",
      notRecorded: "This server takes no reports. You can block this person instead.",
      failed: "Your report couldn't be sent. Try again.",
    },
    block: "Block",
    blockHint: "Ends the call. You won't meet this person again while you both stay connected.",
    blockStatus: {
      sending: "Blocking this person…",
      blocked: "You've blocked this person.",
      failed: "The server hasn't confirmed the block. Try again.",
    },
  },

  confirmClose: {
    title: "Hang up and close Tandem?",
    stay: "Stay in the call",
    close: "Hang up",
  },

  /** Spoken by screen readers when something changes. */
  announce: {
    lobby: "Home",
    waiting: "Waiting for someone",
    connecting: "Connecting to {name}",
    inCall: "You're in a call with {name}",
    muted: "You're muted",
    unmuted: "You're unmuted",
    cameraOff: "Your camera is off",
    cameraOn: "Your camera is on",
    partnerMuted: "{name} is muted",
    partnerUnmuted: "{name} is unmuted",
    partnerCameraOff: "{name}'s camera is off",
    partnerCameraOn: "{name}'s camera is on",
    partnerRefusesAudio: "{name} isn't receiving your sound",
    partnerWantsAudio: "{name} is receiving your sound again",
    partnerRefusesVideo: "{name} isn't receiving your video",
    partnerWantsVideo: "{name} is receiving your video again",
    reconnecting: "The connection to {name} was lost. Reconnecting…",
    reconnected: "{name} is back",
    hosting: "You're hosting on this network",
    notHosting: "You've stopped hosting",
  },

  guest: GUEST,

  errors: ERRORS,
  todoElsewhere: ADVICE_ELSEWHERE,
  unknownError: UNKNOWN_ERROR,
};
