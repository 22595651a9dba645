/**
 * The rules of the house for `deno lint`, for those who write plugins: what the types cannot say about who owns a packet
 * and what may happen on its path.
 *
 * | rule | finds |
 * |---|---|
 * | `netpath/skb-owner` | an exported function that takes an `SkBuff` and does not say who owns it afterwards |
 * | `netpath/no-throw-on-path` | a `throw` in a function that takes an `SkBuff`: nobody catches it there, the packet is lost |
 * | `netpath/no-await-on-path` | an `async` function that takes an `SkBuff`: the packet would be somebody else's when it goes on |
 * | `netpath/no-module-state` | a variable of the module: two nets live in one process, state belongs into `net.state()` |
 * | `netpath/no-declare-module` | `declare module` and `declare global`, which a package on JSR may not have |
 *
 * In deno.json:
 *
 * ```json
 * { "lint": { "plugins": ["jsr:@netpath/stack/lint"] } }
 * ```
 *
 * @example What it says about a hook that throws
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import lint from "@netpath/stack/lint";
 *
 * const source = "export function hook(skb: SkBuff): number { throw new Error('no'); }";
 * const found = Deno.lint.runPlugin(lint, "hook.ts", source);
 * assertEquals(found.map((d) => d.id), ["netpath/skb-owner", "netpath/no-throw-on-path"]);
 * ```
 *
 * @module
 */

/** What a doc comment says of the packet: one of these. */
const SENTENCES: readonly RegExp[] = [/Takes\s+ownership\s+of\s+`\w+`/, /Borrows\s+`\w+`/];

type Fn = Deno.lint.FunctionDeclaration | Deno.lint.FunctionExpression | Deno.lint.ArrowFunctionExpression;
type Node = Deno.lint.Node;

/** Whether a parameter is a packet, or may be one. */
function isSkb(type: Node | undefined): boolean {
  if (type === undefined) return false;
  if (type.type === "TSUnionType") return type.types.some(isSkb);
  return type.type === "TSTypeReference" && type.typeName.type === "Identifier" && type.typeName.name === "SkBuff";
}

function takesSkb(fn: Fn): boolean {
  return fn.params.some((p) => p.type === "Identifier" && isSkb(p.typeAnnotation?.typeAnnotation));
}

/** The innermost function around a node; null: none. */
function around(node: Node): Fn | null {
  for (let at: Node | null = parentOf(node); at !== null; at = parentOf(at)) {
    if (
      at.type === "FunctionDeclaration" || at.type === "FunctionExpression" || at.type === "ArrowFunctionExpression"
    ) {
      return at;
    }
  }
  return null;
}

function parentOf(node: Node): Node | null {
  return (node as { parent?: Node }).parent ?? null;
}

/** Whether a `throw` is caught again in its own function. */
function caught(node: Node): boolean {
  for (let [at, parent] = [node, parentOf(node)]; parent !== null; [at, parent] = [parent, parentOf(parent)]) {
    if (parent.type === "TryStatement" && parent.block === at && parent.handler !== null) return true;
    if (/Function/.test(parent.type)) return false;
  }
  return false;
}

const skbOwner: Deno.lint.Rule = {
  create: (context) => ({
    "ExportNamedDeclaration > FunctionDeclaration"(fn: Deno.lint.FunctionDeclaration) {
      if (!takesSkb(fn)) return;
      const exported = parentOf(fn) as Node;
      const comments = context.sourceCode.getCommentsBefore(exported).map((c) => c.value.replace(/\n\s*\*/g, " "));
      if (SENTENCES.some((sentence) => comments.some((c) => sentence.test(c)))) return;
      context.report({
        node: fn,
        message: `${fn.id?.name ?? "The function"} takes a packet and does not say whose it is afterwards`,
        hint:
          "Say in its doc comment: Takes ownership of `skb`. Borrows `skb`. Takes ownership of `skb` unless it returns X.",
      });
    },
  }),
};

const noThrowOnPath: Deno.lint.Rule = {
  create: (context) => ({
    ThrowStatement(node) {
      const fn = around(node);
      if (fn === null || !takesSkb(fn) || caught(node)) return;
      context.report({
        node,
        message: "A throw on the path of a packet: nobody catches it, and the packet is lost without its reason",
        hint: "Drop it with a reason: net.drop(skb, reason); or return a negative errno",
      });
    },
  }),
};

const noAwaitOnPath: Deno.lint.Rule = {
  create: (context) => {
    const check = (fn: Fn): void => {
      if (!fn.async || !takesSkb(fn)) return;
      context.report({
        node: fn,
        message: "A packet is not there any more after an await: it was freed, and its buffer is another packet's",
        hint: "Copy what you need before, or let netfilter keep the packet: NF_QUEUE",
      });
    };
    return { FunctionDeclaration: check, FunctionExpression: check, ArrowFunctionExpression: check };
  },
};

/** What nobody imports is a program, whose variables are its own. */
function isExport({ type }: Node): boolean {
  return type === "ExportNamedDeclaration" || type === "ExportDefaultDeclaration" || type === "ExportAllDeclaration";
}

const noModuleState: Deno.lint.Rule = {
  create: (context) => ({
    "Program > VariableDeclaration, Program > ExportNamedDeclaration > VariableDeclaration"(
      node: Deno.lint.VariableDeclaration,
    ) {
      if ((node.kind !== "let" && node.kind !== "var") || !context.sourceCode.ast.body.some(isExport)) return;
      context.report({
        node,
        message: "A variable of the module: all nets of the process would share it",
        hint: 'Keep it in net.state("plugin:name", () => ...), which also survives a swap',
      });
    },
  }),
};

const noDeclareModule: Deno.lint.Rule = {
  create: (context) => ({
    TSModuleDeclaration(node) {
      const what = node.kind === "global" ? "declare global" : node.id.type === "Literal" ? "declare module" : null;
      if (what === null) return;
      context.report({ node, message: `${what}: a package on JSR may not have it`, hint: "Use a typed token instead" });
    },
  }),
};

/** The plugin for `deno lint`. */
const plugin: Deno.lint.Plugin = {
  name: "netpath",
  rules: {
    "skb-owner": skbOwner,
    "no-throw-on-path": noThrowOnPath,
    "no-await-on-path": noAwaitOnPath,
    "no-module-state": noModuleState,
    "no-declare-module": noDeclareModule,
  },
};

export default plugin;
