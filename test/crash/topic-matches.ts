/** Whether a Topic Filter matches a Topic Name (section 4.7). The tests' own, so that it does not share the broker's faults. */
export function topicMatches(filter: string, topic: string): boolean {
  const levels = topic.split('/')
  const parts = filter.split('/')
  for (const [i, part] of parts.entries()) {
    if (part === '#') return true
    if (i >= levels.length || (part !== '+' && part !== levels[i])) return false
  }
  return parts.length === levels.length
}
