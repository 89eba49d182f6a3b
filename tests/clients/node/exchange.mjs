// A JavaScript program that exchanges its token with oauth4webapi, which checks the answer as the standards have it.
import * as oauth from "oauth4webapi";

const [issuer, audience] = process.argv.slice(2);
const server = { issuer, token_endpoint: `${issuer}/token` };
const client = { client_id: "portolan-test" };
const parameters = new URLSearchParams({
  audience,
  subject_token: process.env.TOKEN,
  subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
});
const grant = "urn:ietf:params:oauth:grant-type:token-exchange";
let said;
try {
  const response = await oauth.genericTokenEndpointRequest(server, client, oauth.None(), grant, parameters, {
    [oauth.allowInsecureRequests]: true,
  });
  said = await oauth.processGenericTokenEndpointResponse(server, client, response, {
    recognizedTokenTypes: { bearer: () => {} },
  });
} catch (error) {
  said = { error: error.error ?? error.message, status: error.status };
}
console.log(JSON.stringify(said));
