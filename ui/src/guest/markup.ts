// Fills the words into the pages that the signaling server serves, when they are built.

import { words } from "../locale";

/** Tandem's icon as an address, so that the page loads nothing. */
const ICON =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 64 64' fill='none' stroke-width='10' stroke-linecap='round'%3E%3Crect width='64' height='64' rx='15' fill='%230c332c'/%3E%3Cpath stroke='%2357d3b8' d='M28 18h.1M25 32l-6 16'/%3E%3Cpath stroke='%23ff8a6b' d='M44 18h.1M41 32l-6 16'/%3E%3C/svg%3E";

/** The same as `Mark` in parts/icons.tsx. */
const MARK =
  '<svg class="mark" viewBox="9 5 46 55" aria-hidden="true" focusable="false">' +
  '<circle class="front" cx="27.5" cy="13" r="7"/><path class="front" d="M24 30 15.5 53.5"/>' +
  '<circle class="back" cx="47.5" cy="13" r="7"/><path class="back" d="M44 30 35.5 53.5"/></svg>';

const t = words.guest;

/** What stands in the pages as `{{name}}`. */
const TEXTS: Record<string, string> = {
  pageTitle: t.pageTitle,
  pageDescription: t.pageDescription,
  title: t.title,
  "withoutScript.why": t.withoutScript.why,
  "withoutScript.todo": t.withoutScript.todo,
  "home.pageTitle": t.home.pageTitle,
  "home.title": t.home.title,
  "home.what": t.home.what,
  "home.link": t.home.link,
  "home.use": t.home.use,
  "home.get": t.home.get,
  icon: ICON,
};

const escape = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");

/** The page with its words. Throws if it names one that does not exist. */
export function fill(html: string): string {
  return html.replaceAll(/\{\{([\w.]+)\}\}/gu, (_, name: string) => {
    if (name === "mark") return MARK;
    const text = TEXTS[name];
    if (text === undefined) throw new Error(`no text named ${name}`);
    return escape(text);
  });
}
