"""A Python program that asks about a token with the official client, and nothing changed but the host."""

import json
import os
import sys

from kubernetes import client

host, authority, audience = sys.argv[1:]
configuration = client.Configuration()
configuration.host = host
configuration.ssl_ca_cert = authority
review = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=os.environ["TOKEN"], audiences=[audience]))
api = client.AuthenticationV1Api(client.ApiClient(configuration))
answer = api.create_token_review(review)
print(json.dumps(client.ApiClient().sanitize_for_serialization(answer.status)))
