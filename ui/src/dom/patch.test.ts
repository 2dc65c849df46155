import { beforeEach, describe, expect, it, vi } from "vitest";

import { h, svg } from "./node";
import { patch } from "./patch";

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement("div");
  document.body.replaceChildren(root);
});
const only = <E extends Element>() => root.firstElementChild as E;

describe("patching", () => {
  it("writes text as text", () => {
    patch(root, [h("p", { title: '"><i>' }, "<b>bold</b>", 5, null, false)]);
    expect(root.querySelector("b, i")).toBeNull();
    expect(root.textContent).toBe("<b>bold</b>5");
    expect(only().getAttribute("title")).toBe('"><i>');
  });

  it("keeps elements and changes only what differs", () => {
    patch(root, [h("p", { class: "a", id: "x" }, "one")]);
    const before = only();
    const text = before.firstChild;
    patch(root, [h("p", { class: "b", hidden: true }, "two")]);
    expect(only()).toBe(before);
    expect(before.firstChild).toBe(text);
    expect(before.outerHTML).toBe('<p class="b" hidden="">two</p>');
    patch(root, [h("p", {})]);
    expect(before.outerHTML).toBe("<p></p>");
  });

  it("keeps keyed elements when others come, go and change places", () => {
    const item = (key: string) => h("li", { key }, key);
    patch(root, ["a", "b", "c"].map(item));
    const [a, b, c] = Array.from(root.children);
    patch(root, ["new", "c", "a"].map(item));
    expect(root.textContent).toBe("newca");
    expect(root.children[1]).toBe(c);
    expect(root.children[2]).toBe(a);
    expect(b?.isConnected).toBe(false);
  });

  it("keeps the focus of an element before which another appears", () => {
    const field = h("input", { key: "field" });
    patch(root, [field]);
    only<HTMLInputElement>().focus();
    patch(root, [h("p", { key: "note" }), field]);
    expect(document.activeElement).toBe(root.querySelector("input"));
  });

  it("makes a new element where the kind is another", () => {
    patch(root, [h("p", { key: "a" })]);
    const before = only();
    patch(root, [h("div", { key: "a" })]);
    expect(only()).not.toBe(before);
    expect(root.children).toHaveLength(1);
  });

  it("calls the handler of the moment, once", () => {
    const [first, second] = [vi.fn(), vi.fn()];
    patch(root, [h("button", { on: { click: first } })]);
    only<HTMLButtonElement>().click();
    patch(root, [h("button", { on: { click: second } })]);
    only<HTMLButtonElement>().click();
    patch(root, [h("button", {})]);
    only<HTMLButtonElement>().click();
    expect(first).toHaveBeenCalledOnce();
    expect(second).toHaveBeenCalledOnce();
  });

  it("leaves a field alone while somebody types in it", () => {
    const field = (value: string) => [h("input", { type: "text", value })];
    patch(root, field("app's"));
    const input = only<HTMLInputElement>();
    expect(input.value).toBe("app's");
    input.focus();
    input.value = "typed";
    patch(root, field("app's"));
    expect(input.value).toBe("typed");
    input.blur();
    patch(root, field("app's"));
    expect(input.value).toBe("app's");
  });

  it("gives a menu the choice that it was told, also with new options", () => {
    const menu = (value: string, ...options: string[]) => [
      h(
        "select",
        { value },
        ...options.map((option) => h("option", { key: option, value: option }, `name of ${option}`)),
      ),
    ];
    patch(root, menu("", "", "a"));
    const select = only<HTMLSelectElement>();
    expect(select.value).toBe("");
    patch(root, menu("b", "", "a", "b"));
    expect(select.value).toBe("b");
    expect(select.selectedOptions[0]?.textContent).toBe("name of b");
  });

  it("draws SVG in its own namespace", () => {
    patch(root, [svg("svg", { viewBox: "0 0 1 1" }, svg("path", { d: "M0 0" }))]);
    expect(only().namespaceURI).toBe("http://www.w3.org/2000/svg");
    expect(only().firstElementChild?.namespaceURI).toBe("http://www.w3.org/2000/svg");
  });
});
