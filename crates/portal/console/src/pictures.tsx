// Small pictures for places where there is nothing yet: a ship, an island, a sounding line, a lighthouse.
const WAVES = "M8 74c7-5 13-5 20 0s13 5 20 0 13-5 20 0 13 5 20 0 13-5 20 0 13 5 20 0";
const DEEP = "M22 84c7-5 13-5 20 0s13 5 20 0 13-5 20 0 13 5 20 0";

const PICTURES = {
  ship: (
    <>
      <path class="tint" d="M66 16v40h28zM60 24v32H42z" />
      <path d="M66 12v44M66 16l28 40H66M60 24L42 56h18zM34 62h66l-8 10H44z" />
    </>
  ),
  island: (
    <>
      <path class="tint" d="M36 72c4-18 16-26 30-26s28 8 32 26z" />
      <path d="M36 72c4-18 16-26 30-26s28 8 32 26M66 46c1-12 0-18-4-26M62 20c-8-6-16-4-20 2 8-3 14-2 20-2zM62 20c6-8 15-8 20-2-8-2-14-1-20 2zM62 20c-6 2-11 8-10 15 3-7 6-11 10-15z" />
    </>
  ),
  light: (
    <>
      <path class="tint" d="M60 28h14l5 44H55zM74 22l34-10v22zM60 22L26 12v22z" />
      <path d="M60 28h14l5 44H55zM59 28l2-10h12l2 10zM61 18l6-7 6 7M58 46h18M57 58h20" />
    </>
  ),
  anchor: (
    <>
      <path class="tint" d="M67 14a7 7 0 110 14 7 7 0 010-14z" />
      <path d="M67 14a7 7 0 110 14 7 7 0 010-14zM67 28v42M54 38h26M42 52c2 12 12 18 25 18s23-6 25-18M42 52l-5 8M42 52l9 4M92 52l5 8M92 52l-9 4" />
    </>
  ),
};

export type PictureName = keyof typeof PICTURES;

export function Picture({ name }: { name: PictureName }) {
  return (
    <svg class="picture" viewBox="0 0 134 92" aria-hidden="true">
      {PICTURES[name]}
      <path class="sea" d={WAVES} />
      <path class="sea" d={DEEP} />
    </svg>
  );
}
