// What the page is made of: descriptions of elements, made anew for each state and patched into the document.

/** An attribute's value; `null`, `undefined` and `false` leave it out, `true` writes it without a value. */
export type Attribute = string | number | boolean | null | undefined;

export type Handlers = { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };

export interface Properties {
  /** Says which element this is among its siblings when they come, go and change places. */
  key?: string;
  on?: Handlers;
  /** DOM properties that attributes do not reach. A text field in which somebody types keeps its text. */
  value?: string;
  checked?: boolean;
  [attribute: string]: Attribute | Handlers;
}

export interface ElementNode {
  tag: string;
  svg: boolean;
  key: string | undefined;
  properties: Properties;
  children: (ElementNode | string)[];
}

export type Child = ElementNode | string | number | null | undefined | false | Child[];

function flatten(children: Child[], out: (ElementNode | string)[] = []): (ElementNode | string)[] {
  for (const child of children) {
    if (Array.isArray(child)) flatten(child, out);
    else if (typeof child === "number") out.push(String(child));
    else if (typeof child === "string") out.push(child);
    else if (child) out.push(child);
  }
  return out;
}

/** An HTML element. Strings among its children become text, never markup. */
export function h(tag: string, properties: Properties = {}, ...children: Child[]): ElementNode {
  return { tag, svg: false, key: properties.key, properties, children: flatten(children) };
}

/** An SVG element. */
export function svg(tag: string, properties: Properties = {}, ...children: Child[]): ElementNode {
  return { ...h(tag, properties, ...children), svg: true };
}
