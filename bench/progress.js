/** One line that says where the run is: written over on a terminal, a line for each scenario elsewhere. */
export class Progress {
  #done = 0
  #started = Date.now()
  #scenario = ''

  constructor(total, stream = process.stdout) {
    this.total = total
    this.stream = stream
  }

  step(scenario, round, peer) {
    const line = `${this.#done + 1}/${this.total}  ${scenario}  round ${round}  ${peer}${this.#left()}`
    if (this.stream.isTTY) this.stream.write(`\r\x1b[2K${line}`)
    else if (this.#scenario !== scenario) this.stream.write(`${line}\n`)
    this.#scenario = scenario
    this.#done++
  }

  #left() {
    if (this.#done < 3) return ''
    const seconds = ((Date.now() - this.#started) / 1000 / this.#done) * (this.total - this.#done)
    return `  ${seconds > 90 ? `${Math.round(seconds / 60)} min` : `${Math.ceil(seconds)} s`} left`
  }

  end() {
    if (this.stream.isTTY) this.stream.write('\r\x1b[2K')
  }
}
