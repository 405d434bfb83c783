/**
 * What must not stand in a line for people: control characters, the separators of lines and paragraphs, and what turns the direction of
 * writing. A terminal would obey them, and a log would show lines that the broker has not written.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/

/** The same text, with escapes in the place of such characters: `\u001b`. */
export function printable(text: string): string {
  if (!unprintable.test(text)) return text
  return text.replace(
    new RegExp(unprintable.source, 'g'),
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
