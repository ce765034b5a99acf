// The SHA-256 of the bearer token, in hex; empty where none is sent. nginx looks it up in a map: the token itself
// stands in no configuration and in no log.
import crypto from 'crypto';

function sha256(r) {
    const found = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(r.headersIn.Authorization || '');
    return found ? crypto.createHash('sha256').update(found[1]).digest('hex') : '';
}

export default { sha256 };
