import { describeForeignClients } from './client-suite'
import { paho } from './paho'

describeForeignClients(paho)
