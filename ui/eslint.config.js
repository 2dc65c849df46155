import js from "@eslint/js";
import tseslint from "typescript-eslint";

const NODE = {
  console: "readonly",
  process: "readonly",
  URL: "readonly",
  Buffer: "readonly",
  setTimeout: "readonly",
};
const PAGE = {
  window: "readonly",
  document: "readonly",
  getComputedStyle: "readonly",
  Image: "readonly",
  NodeFilter: "readonly",
  MutationObserver: "readonly",
  requestAnimationFrame: "readonly",
  structuredClone: "readonly",
  setInterval: "readonly",
  RTCPeerConnection: "readonly",
};

/** Properties that would turn text into markup or code. */
const UNSAFE = ["innerHTML", "outerHTML", "insertAdjacentHTML", "srcdoc"].map((property) => ({
  property,
  message: "Text is only ever set as text.",
}));

/** JSX attributes that would do the same, or that the content security policy forbids. */
const UNSAFE_JSX = [
  {
    selector: "JSXAttribute[name.name=/^(dangerouslySetInnerHTML|srcDoc|srcdoc)$/]",
    message: "Text is only ever set as text.",
  },
  {
    selector: "JSXAttribute[name.name='style']",
    message: "Styles belong in src/style: the content security policy forbids inline ones.",
  },
];

export default tseslint.config(
  { ignores: ["dist", "node_modules", "src/generated"] },
  js.configs.recommended,
  {
    files: ["src/**/*.{ts,tsx}", "vite*.config.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-console": "error",
      "no-restricted-properties": ["error", ...UNSAFE],
      "no-restricted-syntax": ["error", ...UNSAFE_JSX],
      // `value as T` states a type; `value!` would hide the same claim.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  {
    files: ["src/**/*.test.{ts,tsx}"],
    rules: {
      "no-control-regex": "off",
      "no-restricted-properties": "off",
      "@typescript-eslint/no-unnecessary-type-parameters": "off",
    },
  },
  {
    files: ["**/*.mjs", "**/*.js"],
    languageOptions: { globals: { ...NODE, ...PAGE } },
  },
);
