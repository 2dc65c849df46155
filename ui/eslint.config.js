import js from "@eslint/js";
import tseslint from "typescript-eslint";

const NODE = { console: "readonly", process: "readonly", URL: "readonly", Buffer: "readonly", setTimeout: "readonly" };
const PAGE = {
  window: "readonly",
  document: "readonly",
  getComputedStyle: "readonly",
  requestAnimationFrame: "readonly",
  structuredClone: "readonly",
};

/** Ways by which text could become markup or code. */
const UNSAFE = [
  ["innerHTML", "Text is only ever set as text."],
  ["outerHTML", "Text is only ever set as text."],
  ["insertAdjacentHTML", "Text is only ever set as text."],
  ["srcdoc", "Text is only ever set as text."],
];

export default tseslint.config(
  { ignores: ["dist", "node_modules", "src/generated"] },
  js.configs.recommended,
  {
    files: ["src/**/*.ts", "vite.config.ts"],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-console": "error",
      "no-restricted-properties": ["error", ...UNSAFE.map(([property, message]) => ({ property, message }))],
      // `as T` says what is known; `!` hides that something is.
      "@typescript-eslint/non-nullable-type-assertion-style": "off",
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
    },
  },
  {
    files: ["src/**/*.test.ts"],
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
