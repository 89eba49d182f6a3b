// An application that signs in with golang.org/x/oauth2/google/externalaccount, pointed at the exchange.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"

	"golang.org/x/oauth2/google/externalaccount"
)

func main() {
	config := externalaccount.Config{
		SubjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
		Scopes:           []string{"cluster"},
	}
	file := flag.String("token-file", "", "file with the source token")
	flag.StringVar(&config.TokenURL, "token-url", "", "URL of the exchange")
	flag.StringVar(&config.Audience, "audience", "", "account whose token is wanted")
	flag.Parse()
	config.CredentialSource = &externalaccount.CredentialSource{File: *file}
	answer := map[string]any{}
	source, err := externalaccount.NewTokenSource(context.Background(), config)
	if err == nil {
		token, failure := source.Token()
		if failure == nil {
			answer["token"], answer["type"], answer["expiry"] = token.AccessToken, token.Type(), token.Expiry.Unix()
		}
		err = failure
	}
	if err != nil {
		answer["error"] = err.Error()
	}
	_ = json.NewEncoder(os.Stdout).Encode(answer)
}
