/** Cycles in a graph: one for each group of nodes that reach each other, in order, as short as there is. */

/**
 * Finds the groups with Tarjan's algorithm, without recursion, since a chain of dependencies may be long. Each cycle begins
 * and ends with the node of its group that comes first in `nodes`.
 */
export function findCycles<Node>(
  nodes: readonly Node[],
  next: (node: Node) => Node[],
): Node[][] {
  return stronglyConnected(nodes, next)
    .filter((group) => group.length > 1 || next(group[0]).includes(group[0]))
    .map((group) => {
      const members = new Set(group);
      const start = group.length === 1 ? group[0] : nodes.find((node) => members.has(node))!;
      return shortestWayBack(start, members, next);
    });
}

interface Frame<Node> {
  node: Node;
  targets: Node[];
  position: number;
}

function stronglyConnected<Node>(
  nodes: readonly Node[],
  next: (node: Node) => Node[],
): Node[][] {
  const numbers = new Map<Node, { index: number; low: number; onStack: boolean }>();
  const stack: Node[] = [];
  const groups: Node[][] = [];
  const enter = (node: Node): Frame<Node> => {
    numbers.set(node, { index: numbers.size, low: numbers.size, onStack: true });
    stack.push(node);
    return { node, targets: next(node), position: 0 };
  };
  for (const root of nodes) {
    if (numbers.has(root)) continue;
    const frames = [enter(root)];
    while (frames.length > 0) {
      const frame = frames[frames.length - 1];
      const own = numbers.get(frame.node)!;
      if (frame.position < frame.targets.length) {
        const target = frame.targets[frame.position++];
        const known = numbers.get(target);
        if (!known) frames.push(enter(target));
        else if (known.onStack) own.low = Math.min(own.low, known.index);
        continue;
      }
      frames.pop();
      const parent = frames.at(-1);
      if (parent) {
        const above = numbers.get(parent.node)!;
        above.low = Math.min(above.low, own.low);
      }
      if (own.low !== own.index) continue;
      const group = stack.splice(stack.lastIndexOf(frame.node));
      for (const member of group) numbers.get(member)!.onStack = false;
      groups.push(group);
    }
  }
  return groups;
}

function shortestWayBack<Node>(
  start: Node,
  members: Set<Node>,
  next: (node: Node) => Node[],
): Node[] {
  const cameFrom = new Map<Node, Node>();
  const queue = [start];
  for (const node of queue) {
    for (const target of next(node)) {
      if (target === start) {
        const way = [start];
        for (let step = node; step !== start; step = cameFrom.get(step)!) way.unshift(step);
        return [start, ...way];
      }
      if (!members.has(target) || cameFrom.has(target)) continue;
      cameFrom.set(target, node);
      queue.push(target);
    }
  }
  return [start];
}
