// An authorization server with RFC 7591 and RFC 7592 on loopback: panva/node-oidc-provider, kept in memory.
// Environment: ISSUER (its URL as the world sees it), PORT, ADMIN_PORT (GET there prints the clients' ids),
// TOKEN_FILE (gets the initial access token), ROTATES (`true`: each PUT brings a new registration access token, and a new
// secret unless it carries the present one).
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const { ISSUER, PORT, ADMIN_PORT, TOKEN_FILE, ROTATES } = process.env;
const rotates = ROTATES === 'true';

// The adapter that comes with it keeps the last thousand entries: under load it forgets clients.
class Memory {
  static entries = new Map();
  constructor(kind) { this.kind = kind; }
  key(id) { return `${this.kind}:${id}`; }
  async upsert(id, entry) { Memory.entries.set(this.key(id), entry); }
  async find(id) { return Memory.entries.get(this.key(id)); }
  async findByUid() {}
  async findByUserCode() {}
  async consume(id) { Memory.entries.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { Memory.entries.delete(this.key(id)); }
  async revokeByGrantId() {}
}

const provider = new Provider(ISSUER, {
  adapter: Memory,
  scopes: ['openid', 'offline_access', 'orders.read', 'orders.write'],
  clientDefaults: { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    registration: {
      enabled: true,
      initialAccessToken: true,
      policies: {
        // RFC 7592 section 2.2: an answer to an update may hold a new secret.
        secret(ctx, properties) {
          if (rotates && ctx.method === 'PUT' && properties.client_secret && !ctx.oidc.body.client_secret) {
            properties.client_secret = randomBytes(32).toString('base64url');
          }
        },
      },
    },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: rotates },
  },
});
for (const event of ['server_error', 'registration_create.error', 'registration_update.error', 'registration_delete.error']) {
  provider.on(event, (_, error) => console.error(event, error.error ?? error.stack, error.error_description ?? ''));
}
writeFileSync(TOKEN_FILE, await new provider.InitialAccessToken({ policies: ['secret'] }).save(), { mode: 0o600 });

createServer((_, answer) => {
  const ids = [...Memory.entries.keys()].filter((key) => key.startsWith('Client:'));
  answer.end(ids.map((key) => `${key.slice('Client:'.length)}\n`).join(''));
}).listen(ADMIN_PORT, '127.0.0.1', () => provider.listen(PORT, '127.0.0.1'));
