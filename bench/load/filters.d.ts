export function filtersOf(root: string, client: number, from: number, to: number): string[]
export function messageOf(
  root: string,
  clients: number,
  filters: number,
  sequence: number,
): { client: number; topic: string }
