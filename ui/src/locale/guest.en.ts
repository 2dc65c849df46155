// The words of the page behind a link to a call, which the signaling server serves: `guest/`.

export const GUEST = {
  pageTitle: "Join a call – Tandem",
  pageTitleIncomplete: "Incomplete link – Tandem",
  pageDescription: "Someone invited you to a call in Tandem, an app for one-to-one video calls.",
  title: "Someone invited you to a call in Tandem",
  join: "Ask to join",
  joinWithout: "Join without them",
  joinHint: "They see your name and let you in. They can't see or hear you before that.",
  preview: "Start camera and microphone",
  previewOff: "Check how you look and sound before you join.",
  asking: "Allow your camera and microphone when your browser asks.",
  askingLong: "Your browser is still waiting for your answer about the camera and microphone.",
  askAgain: "Ask again",
  playSound: "Play sound",
  noVideo: {
    what: "This browser and the other app can't exchange video.",
    todo: "To see each other, join with the Tandem app or another browser.",
  },
  verified: {
    badge: "Encrypted, verified by your code",
    details: "what that means",
    facts: [
      "Sound and video are encrypted between the two of you.",
      "Each of you has shown that you have the two words of your link. Without them, no one on the way can listen in.",
      "This page came from the server and reads those words, so a dishonest server could pass them on. The Tandem app keeps them from the server.",
    ],
  },
  back: "Back",
  devices: "Camera and sound",
  fullScreen: "Full screen",
  leaveFullScreen: "Leave full screen",
  /** What is missing for a call in the browser. */
  obstacles: {
    insecure: {
      what: "This browser can't make calls from this page, because its connection isn't encrypted.",
      todo: "Use the Tandem app, or ask for a link that starts with https://.",
    },
    tooOld: {
      what: "This browser is too old for calls.",
      todo: "Update it, or open this link in another one.",
    },
    off: {
      what: "This server doesn't offer calls in the browser.",
      todo: "Use the Tandem app.",
    },
  },
  camera: {
    denied: {
      what: "You haven't allowed the camera.",
      todo: "Allow it in your browser's settings for this page, or join without it.",
    },
    missing: { what: "No camera found.", todo: "Plug one in, or join without it." },
    inUse: {
      what: "Your camera can't be used.",
      todo: "Close other apps that use it, then start it again.",
    },
  },
  microphone: {
    denied: {
      what: "You haven't allowed the microphone.",
      todo: "Allow it in your browser's settings for this page, or join without it.",
    },
    missing: { what: "No microphone found.", todo: "Plug one in, or join without it." },
    inUse: {
      what: "Your microphone can't be used.",
      todo: "Close other apps that use it, then choose it again.",
    },
  },
  both: {
    denied: {
      what: "You haven't allowed the camera and microphone.",
      todo: "Allow them in your browser's settings for this page, or join without them.",
    },
    missing: { what: "No camera or microphone found.", todo: "Plug one in, or join without them." },
  },
  /** Why a call did not come about. */
  ends: {
    busy: { what: "Too many people are trying to join.", todo: "Try again in a minute." },
    unknownCode: {
      what: "This invite doesn't work any more.",
      todo: "Ask the person who invited you for a new link.",
    },
    privateServer: {
      what: "This server is private, and doesn't accept this link.",
      todo: "Ask the person who invited you for a new link.",
    },
    banned: {
      what: "You've been banned from this server.",
      todo: "Ask the people who run it.",
    },
    kicked: { what: "The people who run the server ended this call." },
    serverAway: {
      what: "Can't reach the server.",
      todo: "Check your internet connection, then try again.",
    },
    codeMismatch: {
      what: "The other side couldn't show that it knows the words of your link.",
      todo: "The link may have a mistake, the other app may be too old, or someone may be trying to listen in. Ask the person who invited you for a new link.",
    },
    codeVoid: {
      what: "This link has failed too often. Someone may be guessing its words.",
      todo: "Ask the person who invited you for a new link.",
    },
  },
  app: {
    title: "Have the Tandem app?",
    open: "Open in Tandem",
    openHint: "If your browser asks, let it open Tandem.",
    nothing: "Nothing opens?",
    paste: "Open it in Tandem",
    pasteHint:
      "Start Tandem yourself and paste the whole link. Or type the code, if your Tandem uses this server:",
    code: "Code",
    server: "Server",
    copy: "Copy the link",
    missing: "No Tandem yet?",
    get: "Get Tandem",
    getHint: "Install it on a computer, then open this link there.",
    getUnknown: "The person who invited you can tell you where to get it.",
  },
  incomplete: {
    title: "This link is incomplete",
    what: "A link to a call ends in a number and two words, like 7#garden-lantern. Here, something is missing or has changed on the way.",
    todo: "Ask the person who invited you for the whole link, and copy it to its very end.",
  },
  withoutScript: {
    why: "This page needs JavaScript: it reads the words of your invite in the browser, and doesn't send them to the server.",
    todo: "You can do without: start Tandem and paste the whole link, from this page's address.",
  },
  /** What people see who open the server's address without a call. */
  home: {
    pageTitle: "Tandem server",
    title: "This is a Tandem server",
    what: "Tandem is an app for one-to-one video calls. This server introduces the two people to each other, and their audio and video don't pass through it.",
    link: "Did someone invite you? Open the whole link that they sent you.",
    use: "To call someone, install Tandem and enter this address in Settings → Server.",
    get: "Get Tandem",
  },
};
