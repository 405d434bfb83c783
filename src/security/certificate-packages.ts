import { MqttError } from '../protocol/mqtt-error'

type X509Package = typeof import('@peculiar/x509')
type PkijsPackage = typeof import('pkijs')

/** Loads an optional package only when it is needed: a broker that makes no certificate does without it. */
export async function loadOptional<T>(names: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    throw new MqttError(
      'GNATMQ_DEPENDENCY_MISSING',
      `making certificates needs an optional package that is not installed: run "npm install ${names}"`,
      { cause },
    )
  }
}

export const loadX509 = (): Promise<X509Package> =>
  loadOptional('reflect-metadata @peculiar/x509', async () => {
    // @peculiar/x509 registers its classes through Reflect, so this one comes first.
    await import('reflect-metadata')
    return import('@peculiar/x509')
  })

export const loadPkijs = (): Promise<PkijsPackage> => loadOptional('pkijs', () => import('pkijs'))
