// The address of the page: which call its link leads to, and what opens the same call in the app.
//
// The words stand behind the `#`, which browsers don't send, so only this page knows them. It takes
// nothing from the address but a number, two words and, from a private server, the guest's token.

const NUMBER = /^\/j\/([1-9][0-9]{0,8})$/u;
const FRAGMENT = /^#([a-z]{2,20}-[a-z]{2,20})(?:&guest=([A-Za-z0-9._-]{1,512}))?$/u;

/** A complete link to a call. */
export interface Invite {
  /** The room at the server: a number. */
  room: string;
  /** The two words, as `garden-lantern`. */
  words: string;
  /** What a private server admits the guest with. */
  token: string | null;
}

/** What `location` has of the page's address. */
export type Address = Pick<Location, "protocol" | "host" | "hostname" | "pathname" | "hash">;

/** The call that the address leads to; `null` if the link is incomplete. */
export function inviteIn({ pathname, hash }: Pick<Address, "pathname" | "hash">): Invite | null {
  const room = NUMBER.exec(pathname)?.[1];
  const [, words, token = null] = FRAGMENT.exec(hash) ?? [];
  return room === undefined || words === undefined ? null : { room, words, token };
}

/** The link that opens Tandem; `null` if such a link cannot name this server. */
export function appLink(address: Address, { room, words }: Invite): string | null {
  return canBeNamed(address) ? `tandem://join/${address.host}/${room}#${words}` : null;
}

/** The server's WebSocket. */
export function socketUrl({ protocol, host }: Pick<Address, "protocol" | "host">): string {
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;
}

/** Whether an address without a scheme means this host without TLS: `is_private` in server_url.rs. */
function isPrivate(hostname: string): boolean {
  const ip = /^([0-9]+)\.([0-9]+)\.[0-9]+\.[0-9]+$/u.exec(hostname);
  if (ip) {
    const [first, second] = [Number(ip[1]), Number(ip[2])];
    return (
      first === 10 ||
      first === 127 ||
      (first === 169 && second === 254) ||
      (first === 172 && second >= 16 && second <= 31) ||
      (first === 192 && second === 168)
    );
  }
  if (hostname.startsWith("[")) return /^\[(::1\]|f[cd]..:|fe[89ab].:)/u.test(hostname);
  return !hostname.includes(".") || /(^|\.)(localhost|local|home\.arpa)\.?$/u.test(hostname);
}

/**
 * Whether a `tandem:` link can name this server. It has no scheme, so Tandem uses TLS unless the
 * host is private; and it takes a lone word for a mistake.
 */
function canBeNamed({ protocol, host, hostname }: Address): boolean {
  // An IPv4 address in IPv6: no one writes it, so it is not worth telling private ones apart.
  if (hostname.startsWith("[::ffff:")) return false;
  if (!/[.:]/u.test(host) && hostname !== "localhost") return false;
  return (protocol === "http:") === isPrivate(hostname);
}
