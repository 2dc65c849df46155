// Finds strings of the locale that the page never shows, with the help of the TypeScript compiler.

import { join } from "node:path";
import ts from "typescript";

/**
 * The paths of strings in `locale/en.ts` and `locale/guest.en.ts` that no other file of the pages
 * uses. Errors don't count: they are looked up by code. A lookup by a variable, such as
 * `themes[theme]`, uses all strings of an object and of those in it.
 */
export function unusedStrings(ui: string): string[] {
  const program = parse(ui);
  const checker = program.getTypeChecker();
  const locales = ["en.ts", "guest.en.ts"].map((name) => {
    const file = program.getSourceFile(join(ui, "src/locale", name));
    if (!file) throw new Error(`no locale file ${name}`);
    return file;
  });

  const used = new Set<ts.Node>();
  const use = (symbol: ts.Symbol | undefined) => {
    for (const declaration of symbol?.declarations ?? []) used.add(declaration);
  };
  const useAll = (type: ts.Type) => {
    for (const property of type.getProperties()) {
      use(property);
      const declaration = property.declarations?.[0];
      const isGroup =
        declaration &&
        ts.isPropertyAssignment(declaration) &&
        ts.isObjectLiteralExpression(declaration.initializer);
      if (isGroup) useAll(checker.getTypeOfSymbolAtLocation(property, declaration));
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node)) use(checker.getSymbolAtLocation(node.name));
    if (ts.isElementAccessExpression(node)) {
      useAll(checker.getTypeAtLocation(node.expression));
    }
    if (ts.isBindingElement(node)) {
      const name = (node.propertyName ?? node.name).getText();
      use(checker.getTypeAtLocation(node.parent).getProperty(name));
    }
    ts.forEachChild(node, visit);
  };
  for (const file of program.getSourceFiles()) {
    const isPage = file.fileName.startsWith(join(ui, "src"));
    if (isPage && !file.fileName.includes(".test.") && !locales.includes(file)) visit(file);
  }

  return locales.flatMap(strings).flatMap(([path, node]) => (used.has(node) ? [] : [path]));
}

function parse(ui: string): ts.Program {
  const file = ts.readConfigFile(join(ui, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { fileNames, options } = ts.parseJsonConfigFileContent(file.config, ts.sys, ui);
  return ts.createProgram(fileNames, options);
}

/** Every string in the file's object literals, with its path. */
function strings(locale: ts.SourceFile): [string, ts.Node][] {
  const found: [string, ts.Node][] = [];
  const visit = (node: ts.Node, path: string): void => {
    if (ts.isPropertyAssignment(node)) {
      const inner = path === "" ? node.name.getText() : `${path}.${node.name.getText()}`;
      if (ts.isStringLiteral(node.initializer)) found.push([inner, node]);
      else visit(node.initializer, inner);
      return;
    }
    ts.forEachChild(node, (child) => {
      visit(child, path);
    });
  };
  visit(locale, "");
  return found;
}
