// A menu to choose from: the system's own, in this page's clothes.

import { h, type ElementNode, type Properties } from "../dom/node";

export function dropdown(properties: Properties, options: ElementNode[]): ElementNode {
  return h("div", { class: "dropdown" }, h("select", properties, options));
}
