import { describeForeignClients } from './client-suite'
import { mqttJs } from './mqtt-js'

describeForeignClients(mqttJs)
