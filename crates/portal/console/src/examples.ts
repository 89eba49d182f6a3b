// Programs that call an API with a key, for each place in which a request can carry it.
import { word } from "./shell";
import type { Credentials } from "./types";

export const LANGUAGES = ["cURL", "Node.js", "Python", "Go"] as const;
export type Language = (typeof LANGUAGES)[number];

interface Place {
  kind: "header" | "query" | "cookie";
  name: string;
  /** What precedes the key. */
  prefix: string;
}

/** Where requests carry the key; a text if no request can carry it there. */
export function placeOf(credentials: Credentials | undefined): Place | string {
  const { authorizationHeader, customHeader, queryString, cookie } = credentials ?? {};
  if (customHeader) return checked({ kind: "header", name: customHeader.name, prefix: "" });
  if (queryString) return checked({ kind: "query", name: queryString.name, prefix: "" });
  if (cookie) return checked({ kind: "cookie", name: cookie.name, prefix: "" });
  const prefix = authorizationHeader?.prefix ?? "Bearer";
  return checked({ kind: "header", name: "Authorization", prefix: prefix ? `${prefix} ` : "" });
}

function checked(place: Place): Place | string {
  const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
  if (place.kind !== "query" && !token.test(place.name)) {
    return `The AuthPolicy names the ${place.kind} “${place.name}”, which no request can carry. Ask the owner of the API to correct it.`;
  }
  if (!place.name) return "The AuthPolicy names no query parameter. Ask the owner of the API to correct it.";
  if (/[^\u0020-\u007e]/.test(place.prefix)) {
    return "The AuthPolicy has a prefix that no header can carry. Ask the owner of the API to correct it.";
  }
  return place;
}

/** The program. Without a key, it reads one from the variable API_KEY. */
export function example(language: Language, place: Place, url: string, key?: string): string {
  return { cURL: curl, "Node.js": node, Python: python, Go: go }[language](place, url, key);
}

function curl({ kind, name, prefix }: Place, url: string, key: string | undefined): string {
  const joined = (before: string) => (key === undefined ? `${word(before)}"$API_KEY"` : word(before + key));
  const carried = {
    header: () => `-H ${joined(`${name}: ${prefix}`)}`,
    query: () => `--get --data-urlencode ${joined(`${encodeURIComponent(name)}=`)}`,
    cookie: () => `--cookie ${joined(`${name}=`)}`,
  }[kind]();
  const asked = key === undefined ? "read -rs API_KEY\n" : "";
  return `${asked}curl --globoff ${word(url)} \\\n  ${carried}`;
}

function text(value: string): string {
  return JSON.stringify(value.toWellFormed());
}

function node({ kind, name, prefix }: Place, url: string, key: string | undefined): string {
  const value = key === undefined ? "process.env.API_KEY" : text(key);
  const told = "console.log(response.status, await response.text());";
  if (kind === "query") {
    return `const url = new URL(${text(url)});
url.searchParams.set(${text(name)}, ${value});

const response = await fetch(url);
${told}`;
  }
  const header = kind === "cookie" ? "Cookie" : name;
  const before = kind === "cookie" ? `${name}=` : prefix;
  const whole = before ? `${text(before)} + ${value}` : value;
  return `const response = await fetch(${text(url)}, {
  headers: { ${text(header)}: ${whole} },
});
${told}`;
}

function python({ kind, name, prefix }: Place, url: string, key: string | undefined): string {
  const value = key === undefined ? 'os.environ["API_KEY"]' : text(key);
  const whole = prefix ? `${text(prefix)} + ${value}` : value;
  const argument = { header: "headers", query: "params", cookie: "cookies" }[kind];
  const os = key === undefined ? "import os\n\n" : "";
  return `${os}import requests

response = requests.get(
    ${text(url)},
    ${argument}={${text(name)}: ${whole}},
    timeout=10,
)
print(response.status_code, response.text)`;
}

function go({ kind, name, prefix }: Place, url: string, key: string | undefined): string {
  const value = key === undefined ? 'os.Getenv("API_KEY")' : text(key);
  const carried = {
    header: `	request.Header.Set(${text(name)}, ${prefix ? `${text(prefix)}+${value}` : value})`,
    query: `	query := request.URL.Query()
	query.Set(${text(name)}, ${value})
	request.URL.RawQuery = query.Encode()`,
    cookie: `	request.AddCookie(&http.Cookie{Name: ${text(name)}, Value: ${value}})`,
  }[kind];
  return `package main

import (
	"fmt"
	"io"
	"log"
	"net/http"${key === undefined ? '\n	"os"' : ""}
)

func main() {
	request, err := http.NewRequest("GET", ${text(url)}, nil)
	if err != nil {
		log.Fatal(err)
	}
${carried}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(response.Status, string(body))
}`;
}

/** How a client gets a token by itself. */
export function tokenExample(endpoint: string): string {
  return `# Example (Client Credentials Flow):
curl -X POST \\
  -d 'grant_type=client_credentials' \\
  -d 'client_id=YOUR_CLIENT_ID' \\
  --data-urlencode 'client_secret=YOUR_CLIENT_SECRET' \\
  ${word(endpoint)}`;
}
