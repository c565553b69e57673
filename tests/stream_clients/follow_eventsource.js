// Prints what EventSource receives from the address in its argument.
import { EventSource } from 'eventsource'

const source = new EventSource(process.argv[2])
source.addEventListener('position', () => console.log('position'))
source.addEventListener('draw', event => console.log(`draw ${event.lastEventId} ${JSON.parse(event.data).round}`))
source.addEventListener('error', error => {
  // It reconnects by itself, unless it gave up.
  if (source.readyState !== EventSource.CLOSED) return
  console.log(`gave up: ${error.message}`)
  process.exit(1)
})
