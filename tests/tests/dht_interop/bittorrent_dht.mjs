// A node of the npm package bittorrent-dht (the DHT of webtorrent), led by lines of JSON on standard input:
//     node bittorrent_dht.mjs ADDRESS [BOOTSTRAP]
// The package is below the directory that INTEROP_NODE_MODULES names. Keys, values (bencoded) and so on are hexadecimal.
import { createInterface } from 'node:readline'
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { pathToFileURL } from 'node:url'

const load = path => import(pathToFileURL(`${process.env.INTEROP_NODE_MODULES}/${path}`))
const { Client: DHT } = await load('bittorrent-dht/index.js')
const { default: bencode } = await load('bencode/index.js')

const hex = text => Buffer.from(text ?? '', 'hex')
const secretKey = seed =>
  createPrivateKey({ key: Buffer.concat([hex('302e020100300506032b657004220420'), seed]), format: 'der', type: 'pkcs8' })
const publicKey = key =>
  createPublicKey({ key: Buffer.concat([hex('302a300506032b6570032100'), key]), format: 'der', type: 'spki' })

const dht = new DHT({
  bootstrap: process.argv.slice(3),
  verify: (signature, message, key) => verify(null, message, publicKey(key), signature)
})

// What was looked up before is kept by the package and would be taken for the present state.
const forget = () => dht._tables.clear()

function put ({ value, secret, key, salt, seq }, answer) {
  const item = { v: bencode.decode(hex(value)) }
  if (key) {
    Object.assign(item, { k: hex(key), seq, sign: message => sign(null, message, secretKey(hex(secret))) })
    if (salt) item.salt = hex(salt)
  }
  dht.put(item, (error, _target, stored) => answer({ stored: stored ?? 0, error: error?.message }))
}

function get ({ target, salt }, answer) {
  const options = salt ? { cache: false, salt: hex(salt) } : { cache: false }
  dht.get(hex(target), options, (error, found) =>
    answer({ value: found ? Buffer.from(bencode.encode(found.v)).toString('hex') : null, seq: found?.seq, error: error?.message }))
}

function announce ({ info_hash, port }, answer) {
  dht.announce(hex(info_hash), port, (error, stored) => answer({ stored: stored ?? 0, error: error?.message }))
}

function peers ({ info_hash }, answer) {
  const found = new Set()
  const note = (peer, about) => about.equals(hex(info_hash)) && found.add(`${peer.host}:${peer.port}`)
  dht.on('peer', note)
  dht.lookup(hex(info_hash), error => {
    dht.removeListener('peer', note)
    answer({ peers: [...found], error: error?.message })
  })
}

const say = line => console.log(JSON.stringify(line))
const listening = new Promise(resolve => dht.listen(0, process.argv[2], resolve))
dht.on('ready', () => listening.then(() => say({ port: dht.address().port })))
createInterface({ input: process.stdin }).on('line', line => {
  const command = JSON.parse(line)
  forget()
  ;({ put, get, announce, peers })[command.do](command, say)
}).on('close', () => process.exit())
