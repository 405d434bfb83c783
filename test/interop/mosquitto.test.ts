import { describeForeignClients } from './client-suite'
import { mosquitto } from './mosquitto'

describeForeignClients(mosquitto)
