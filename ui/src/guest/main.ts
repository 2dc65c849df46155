// Starts the guest page.

import { GuestPage } from "./page";

const root = document.getElementById("app");
if (root) new GuestPage(root).start();
