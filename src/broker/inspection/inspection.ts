import type { BrokerHistograms } from '../../ports/statistics'
import type { Counters } from '../wire/counters'
import { Measurements } from '../wire/measurements'
import type { Explainer } from './explainer'
import type { Inspector } from './inspector'
import type { SystemTopics } from './system-topics'
import type { Tracing } from './tracing'

export interface InspectionParts {
  readonly inspector: Inspector
  readonly explainer: Explainer
  readonly tracing: Tracing
  readonly systemTopics: SystemTopics
  readonly counters: Counters
}

/** What shows one run of a broker. */
export class Inspection {
  readonly inspector: Inspector
  readonly explainer: Explainer
  readonly tracing: Tracing
  private readonly systemTopics: SystemTopics
  private readonly counters: Counters

  constructor(parts: InspectionParts) {
    this.inspector = parts.inspector
    this.explainer = parts.explainer
    this.tracing = parts.tracing
    this.systemTopics = parts.systemTopics
    this.counters = parts.counters
  }

  /** What is measured from the first call on. */
  get histograms(): BrokerHistograms {
    this.counters.measured ??= new Measurements()
    return this.counters.measured.snapshot
  }

  begin(): void {
    this.systemTopics.begin()
  }

  close(): void {
    this.systemTopics.end()
    this.tracing.close()
  }
}
