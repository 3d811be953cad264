// Requests to the API, signed as ACS3-HMAC-SHA256 in the browser. The secret stays here: only the signature is sent.

const VERSION = '2014-05-26'
const PLACE = 'lathe.access-key'
const text = new TextEncoder()

/** What the service said no with. */
export class Refusal extends Error {
  constructor(status, code, message, requestId) {
    super(message)
    this.status = status
    this.code = code
    this.requestId = requestId
  }
}

/** The service did not answer, or not as it should. */
export class Unreachable extends Error {}

/** A key, in this tab alone: `sessionStorage` goes with it. */
export const keys = {
  load() {
    try {
      const key = JSON.parse(sessionStorage.getItem(PLACE))
      return key && key.id && key.secret ? key : null
    } catch {
      return null
    }
  },
  keep(key) {
    sessionStorage.setItem(PLACE, JSON.stringify(key))
  },
  forget() {
    sessionStorage.removeItem(PLACE)
  },
}

/** Browsers sign on https and on loopback alone. */
export function canSign() {
  return globalThis.crypto !== undefined && crypto.subtle !== undefined
}

function hexadecimal(buffer) {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

async function sha256(string) {
  return hexadecimal(await crypto.subtle.digest('SHA-256', text.encode(string)))
}

async function hmac(secret, string) {
  const key = await crypto.subtle.importKey('raw', text.encode(secret), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign'])
  return hexadecimal(await crypto.subtle.sign('HMAC', key, text.encode(string)))
}

/** RFC 3986: `encodeURIComponent` leaves five more characters as they are. */
function percent(string) {
  return encodeURIComponent(string).replace(/[!'()*]/g, (letter) => '%' + letter.charCodeAt(0).toString(16).toUpperCase())
}

function nonce() {
  return hexadecimal(crypto.getRandomValues(new Uint8Array(16)))
}

/** A client of the API with one key. */
export class Client {
  /** How far the service's clock is ahead of ours, in milliseconds; known once it has refused a request for its time. */
  #ahead = 0

  constructor(key) {
    this.key = key
  }

  /**
   * Calls an operation; parameters that are empty are left out.
   *
   * Throws a `Refusal` or `Unreachable`.
   */
  async call(action, parameters = {}) {
    try {
      return await this.#send(action, parameters)
    } catch (error) {
      if (!(error instanceof Refusal) || !/Time/.test(error.code) || !this.#learnTime(error)) throw error
      return await this.#send(action, parameters)
    }
  }

  /** Whether the clocks differ by so much that a request signed by the service's may do better. */
  #learnTime(refusal) {
    if (Number.isNaN(refusal.date)) return false
    const ahead = refusal.date - Date.now()
    if (Math.abs(ahead - this.#ahead) < 60_000) return false
    this.#ahead = ahead
    return true
  }

  async #send(action, parameters) {
    const query = Object.entries(parameters)
      .filter(([, value]) => value !== undefined && value !== null && value !== '')
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, value]) => `${percent(name)}=${percent(String(value))}`)
      .join('&')
    const headers = await this.#headers(action, query)
    let answer, body
    try {
      answer = await fetch(`/?${query}`, {
        method: 'POST', headers, cache: 'no-store', credentials: 'omit', redirect: 'error', signal: AbortSignal.timeout(600_000),
      })
      body = await answer.text()
    } catch {
      throw new Unreachable('The service does not answer.')
    }
    let content
    try {
      content = JSON.parse(body)
    } catch {
      throw new Unreachable(`The service answered ${answer.status} with something else than JSON.`)
    }
    if (answer.ok) return content
    const refusal = new Refusal(answer.status, String(content.Code), String(content.Message), content.RequestId)
    refusal.date = Date.parse(answer.headers.get('date'))
    throw refusal
  }

  async #headers(action, query) {
    const signed = {
      host: location.host,
      'x-acs-action': action,
      'x-acs-content-sha256': await sha256(''),
      'x-acs-date': new Date(Date.now() + this.#ahead).toISOString().replace(/\.\d+Z$/, 'Z'),
      'x-acs-signature-nonce': nonce(),
      'x-acs-version': VERSION,
    }
    if (this.key.token) {
      signed['x-acs-accesskey-id'] = this.key.id
      signed['x-acs-security-token'] = this.key.token
    }
    const names = Object.keys(signed).sort()
    const lines = names.map((name) => `${name}:${signed[name]}\n`).join('')
    const list = names.join(';')
    const request = ['POST', '/', query, lines, list, signed['x-acs-content-sha256']].join('\n')
    const signature = await hmac(this.key.secret, `ACS3-HMAC-SHA256\n${await sha256(request)}`)
    // The browser sets the host itself.
    const { host, ...headers } = signed
    return {
      ...headers,
      accept: 'application/json',
      authorization: `ACS3-HMAC-SHA256 Credential=${this.key.id},SignedHeaders=${list},Signature=${signature}`,
    }
  }
}
