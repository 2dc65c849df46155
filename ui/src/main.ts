// Starts the page in Tandem's window.

import { App } from "./app";
import { tauri } from "./backend";

const root = document.getElementById("app");
if (root) void new App(root, tauri).start();
