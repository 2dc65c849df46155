// The profile picture in the settings: which of the user's choices counts.

import { render } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { makeState, makeView } from "../testing/states";
import { Profile } from "./profile";

/** Reads a file; the test says when each is read. */
const read = vi.hoisted(() => new Map<string, (url: string) => void>());
vi.mock("../picture", () => ({
  profilePicture: ({ name }: File) =>
    new Promise<string>((done) => {
      read.set(name, done);
    }),
}));

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.replaceChildren(root);
});
afterEach(() => {
  render(null, root);
  read.clear();
});

const OLD = "data:image/jpeg;base64,/9j/2gACAQI=";

function show() {
  const view = makeView(makeState({ picture: OLD }));
  const { send } = view.act;
  render(<Profile {...view} />, root);
  return vi.mocked(send).mock.calls;
}

function choose(name: string) {
  const input = root.querySelector<HTMLInputElement>("#picture-file");
  if (!input) throw new Error("there is no field for a file");
  Object.defineProperty(input, "files", { value: [new File([], name)], configurable: true });
  input.dispatchEvent(new Event("change"));
}

async function finish(name: string) {
  read.get(name)?.(name);
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

it("is the one that was chosen last, not the one that was read last", async () => {
  const sent = show();
  choose("large.png");
  choose("small.png");
  await finish("small.png");
  await finish("large.png");
  expect(sent).toEqual([[{ type: "setPicture", picture: "small.png" }]]);
});

it("stays removed if it is removed while another one is being read", async () => {
  const sent = show();
  choose("large.png");
  root.querySelector<HTMLButtonElement>("[data-action=remove-picture]")?.click();
  await finish("large.png");
  expect(sent).toEqual([[{ type: "setPicture", picture: null }]]);
});
