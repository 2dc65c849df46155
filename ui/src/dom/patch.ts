// Makes the document match a description, touching only what differs.

import type { Attribute, ElementNode, Handlers, Properties } from "./node";

const SVG = "http://www.w3.org/2000/svg";
/** Not attributes: what the patching itself needs, and what fields keep in properties. */
const SPECIAL = new Set(["key", "on", "checked"]);

interface Mounted {
  description: ElementNode | string;
  node: Element | Text;
}

const mountedChildren = new WeakMap<Element, Mounted[]>();
const handlersOf = new WeakMap<Element, Handlers>();
const listening = new WeakMap<Element, Set<string>>();

/** Makes the children of `parent` match `children`. Elements that stay keep their identity, focus and selection. */
export function patch(parent: Element, children: (ElementNode | string)[]): void {
  const old = mountedChildren.get(parent) ?? [];
  const keyed = new Map<string, Mounted>();
  const unkeyed: Mounted[] = [];
  for (const mounted of old) {
    const key = keyOf(mounted.description);
    if (key === undefined) unkeyed.push(mounted);
    else keyed.set(key, mounted);
  }

  const kept = new Set<Mounted>();
  const next = children.map((description) => {
    const candidate = reusable(description, keyed, unkeyed);
    if (!candidate) return { description, node: create(description) };
    kept.add(candidate);
    update(candidate, description);
    return { description, node: candidate.node };
  });

  for (const mounted of old) if (!kept.has(mounted)) mounted.node.remove();
  let at = parent.firstChild;
  for (const { node } of next) {
    if (node === at) at = at.nextSibling;
    else parent.insertBefore(node, at);
  }
  mountedChildren.set(parent, next);
}

function keyOf(description: ElementNode | string): string | undefined {
  return typeof description === "string" ? undefined : description.key;
}

/** The mounted element that `description` may take over; the first fitting one of those without a key. */
function reusable(
  description: ElementNode | string,
  keyed: Map<string, Mounted>,
  unkeyed: Mounted[],
): Mounted | undefined {
  const key = keyOf(description);
  if (key !== undefined) {
    const mounted = keyed.get(key);
    if (!mounted || !alike(mounted.description, description)) return undefined;
    keyed.delete(key);
    return mounted;
  }
  const index = unkeyed.findIndex((mounted) => alike(mounted.description, description));
  return index < 0 ? undefined : unkeyed.splice(0, index + 1)[index];
}

function alike(a: ElementNode | string, b: ElementNode | string): boolean {
  if (typeof a === "string" || typeof b === "string") return typeof a === typeof b;
  return a.tag === b.tag && a.svg === b.svg;
}

function create(description: ElementNode | string): Element | Text {
  if (typeof description === "string") return document.createTextNode(description);
  const element = description.svg
    ? document.createElementNS(SVG, description.tag)
    : document.createElement(description.tag);
  apply(element, {}, description.properties);
  patch(element, description.children);
  // After the children: a select takes a value only when it has the option.
  applyValue(element, description.properties);
  return element;
}

function update(mounted: Mounted, description: ElementNode | string): void {
  if (typeof description === "string") {
    if (mounted.description !== description) mounted.node.textContent = description;
    return;
  }
  const element = mounted.node as Element;
  apply(element, (mounted.description as ElementNode).properties, description.properties);
  patch(element, description.children);
  applyValue(element, description.properties);
}

function apply(element: Element, old: Properties, properties: Properties): void {
  for (const name of Object.keys(old)) {
    if (!isSpecial(element, name) && !(name in properties)) element.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(properties)) {
    if (!isSpecial(element, name) && old[name] !== value) setAttribute(element, name, value as Attribute);
  }
  listen(element, properties.on);
}

/** The value of a field is a property; that of an option is an attribute like any other. */
function isSpecial(element: Element, name: string): boolean {
  return SPECIAL.has(name) || (name === "value" && isField(element));
}

function isField(element: Element): element is HTMLSelectElement | HTMLInputElement {
  return element instanceof HTMLSelectElement || element instanceof HTMLInputElement;
}

function setAttribute(element: Element, name: string, value: Attribute): void {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : String(value));
}

/** One listener for each kind of event, which asks for the handler of the moment. */
function listen(element: Element, handlers: Handlers | undefined): void {
  if (!handlers) {
    handlersOf.delete(element);
    return;
  }
  handlersOf.set(element, handlers);
  const known = listening.get(element) ?? new Set();
  listening.set(element, known);
  for (const name of Object.keys(handlers)) {
    if (known.has(name)) continue;
    known.add(name);
    element.addEventListener(name, (event) => {
      const handler = handlersOf.get(element)?.[name as keyof Handlers] as ((event: Event) => void) | undefined;
      handler?.(event);
    });
  }
}

function applyValue(element: Element, { value, checked }: Properties): void {
  if (isField(element)) {
    const typing = element instanceof HTMLInputElement && element === document.activeElement;
    if (value !== undefined && !typing && element.value !== value) element.value = value;
  }
  if (element instanceof HTMLInputElement && checked !== undefined) element.checked = checked;
}
