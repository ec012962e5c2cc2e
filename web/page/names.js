// Names of rooms that can be read to somebody over the telephone.

const how = (
  'amber azure bold brave breezy bright brisk calm clear clever coral cosy crisp curly dapper early easy fair fancy ' +
  'fleet fluffy fresh gentle giant glad golden grand happy hazel humble ivory jolly keen kind lively lucky lunar ' +
  'mellow merry mild misty modest neat nimble noble olive patient plucky polite proud quick quiet rapid rosy royal ' +
  'ruby shiny silent silver sleek smart snowy sunny swift tidy velvet vivid warm witty young'
).split(' ')

const who = (
  'badger beaver bison buffalo camel cheetah cobra condor crane cricket dolphin donkey dragon eagle falcon ferret finch ' +
  'gazelle gecko gibbon giraffe goose hamster hare hedgehog heron ibis jaguar kestrel koala lemur leopard lizard llama ' +
  'lobster lynx magpie marmot marten moose newt ocelot octopus osprey otter owl panda parrot pelican penguin pigeon ' +
  'puffin rabbit raccoon raven robin salmon seal spider squirrel stork swallow tiger toucan turtle walrus weasel wombat zebra'
).split(' ')

/** A name that nobody else has, in all likelihood: one of some fifty million. */
export function randomName() {
  const [a, b, c] = crypto.getRandomValues(new Uint32Array(3))
  return `${how[a % how.length]}-${who[b % who.length]}-${1000 + (c % 9000)}`
}
