// Programs that use a key, in four languages.
import { useState } from "preact/hooks";
import { Code } from "./copy";
import { example, LANGUAGES, placeOf, type Language } from "./examples";
import { TabList, TabPanel } from "./tabs";
import type { Key } from "./types";

export function Examples({ of, secret }: { of: Key; secret: string | undefined }) {
  const [language, setLanguage] = useState<Language>("cURL");
  const [isIncluded, setIncluded] = useState(false);
  const place = placeOf(of.status?.authScheme?.credentials);
  if (typeof place === "string") return <p class="note warn">{place}</p>;
  const url = `https://${of.status?.apiHostname ?? `${of.spec.apiProductRef.name}.apps.example.com`}/api/v1/endpoint`;
  const id = (one: string) => `${of.metadata.name}-${one.replace(".", "-")}`;
  const text = example(language, place, url, isIncluded ? secret : undefined);
  return (
    <div class="stack tight">
      <TabList
        label="Usage examples"
        tabs={LANGUAGES.map((one) => [id(one), one])}
        current={id(language)}
        onChoose={(chosen) => setLanguage(LANGUAGES.find((one) => id(one) === chosen) ?? "cURL")}
      />
      <TabPanel id={id(language)}>
        <Code text={text} label={`${language} example`} />
      </TabPanel>
      <label class="check">
        <input type="checkbox" checked={isIncluded && secret !== undefined} disabled={secret === undefined} onChange={() => setIncluded(!isIncluded)} />
        <span>
          Put my key into the example{" "}
          <span class="soft small">{secret === undefined ? "(reveal it first)" : "(do not share it then)"}</span>
        </span>
      </label>
    </div>
  );
}
