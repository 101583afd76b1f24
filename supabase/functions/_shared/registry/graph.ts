/** A resolution as a picture: Graphviz and Mermaid text, and as a tree. */
import type { Resolution } from "./resolve.ts";

/** Text of a node or an edge in Graphviz: quotes and backslashes are escaped. */
function quoted(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** For Graphviz. What a requirer does not take is red; packages that are missing are dashed. */
export function toGraphviz({ nodes, edges, missing }: Resolution): string {
  return [
    "digraph dependencies {",
    "  rankdir=LR;",
    "  node [shape=box];",
    ...nodes.map(({ package: id, version, status }) =>
      `  ${quoted(`${id}@${version}`)}${status === "deprecated" ? " [color=gray]" : ""};`
    ),
    ...unknown({ nodes, missing }).map((id) => `  ${quoted(id)} [style=dashed];`),
    ...edges.map(({ from, to, range, satisfied }) =>
      `  ${quoted(from)} -> ${quoted(to)} [label=${quoted(range)}${
        satisfied ? "" : ", color=red"
      }];`
    ),
    "}",
    "",
  ].join("\n");
}

/** For Mermaid. Nodes get ids of their own, since names may hold what means something there. */
export function toMermaid({ nodes, edges, missing }: Resolution): string {
  const labels = [
    ...nodes.map(({ package: id, version }) => `${id}@${version}`),
    ...unknown({ nodes, missing }),
  ];
  const ids = new Map(labels.map((label, index) => [label, `n${index}`]));
  return [
    "graph LR",
    ...labels.map((label) => `  ${ids.get(label)}["${entities(label)}"]`),
    ...edges.map(({ from, to, range, satisfied }) =>
      `  ${ids.get(from)} ${satisfied ? "-->" : "-.->"}|"${entities(range)}"| ${ids.get(to)}`
    ),
    "",
  ].join("\n");
}

function unknown({ nodes, missing }: Pick<Resolution, "nodes" | "missing">): string[] {
  const chosen = new Set(nodes.map((node) => node.package));
  return missing.map((one) => one.package).filter((id) => !chosen.has(id));
}

/** Mermaid writes characters as entities with a hash. */
function entities(text: string): string {
  return text.replaceAll(/[#"<>|&;]/g, (character) => `#${character.charCodeAt(0)};`);
}

export interface TreeNode {
  package: string;
  version: string | null;
  range: string | null;
  /** It stands elsewhere in the tree with its own dependencies. */
  repeated?: true;
  /** It needs others, which are so far from the root that no tree shows them: they are among the nodes. */
  cut?: true;
  dependencies: TreeNode[];
}

/** How deep a tree is at most: what writes it as JSON recurses. */
const MOST_LEVELS = 200;

/** The tree below a node; what is there twice is unfolded where it is nearest to the root, and marked elsewhere. */
export function toTree({ nodes, edges }: Resolution, root: string): TreeNode | null {
  const versions = new Map(nodes.map((node) => [`${node.package}@${node.version}`, node]));
  const start = nodes.find((node) => node.package === root);
  if (!start) return null;
  const below = Map.groupBy(edges, ({ from }) => from);
  const tree: TreeNode = {
    ...{ package: root, version: start.version, range: null, dependencies: [] },
  };
  const unfolded = new Set([`${root}@${start.version}`]);
  const queue: Array<[string, TreeNode, number]> = [[`${root}@${start.version}`, tree, 1]];
  for (const [label, node, level] of queue) {
    if (level === MOST_LEVELS && below.has(label)) {
      node.cut = true;
      continue;
    }
    for (const { to, range } of below.get(label) ?? []) {
      const known = versions.get(to);
      const child: TreeNode = {
        ...{ package: known?.package ?? to, version: known?.version ?? null, range },
        ...(known && unfolded.has(to) && { repeated: true as const }),
        dependencies: [],
      };
      node.dependencies.push(child);
      if (!known || unfolded.has(to)) continue;
      unfolded.add(to);
      queue.push([to, child, level + 1]);
    }
  }
  return tree;
}
