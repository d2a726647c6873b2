import type { FileAttachment } from "../api/types";

const KINDS: Record<string, FileAttachment["type"]> = {
  "image/png": "image",
  "image/jpeg": "image",
  "image/gif": "image",
  "image/webp": "image",
  "application/pdf": "pdf",
  "text/plain": "text",
};

export const ACCEPTED = [...Object.keys(KINDS), ".md", ".txt"];

/** What the API takes of one attachment, in bytes. */
const MOST = 5 * 1024 * 1024;

/** A chosen file as the API takes it. Throws, in words, when the API would not. */
export async function attachment(file: File): Promise<FileAttachment> {
  const media_type = /\.(md|txt)$/i.test(file.name) ? "text/plain" : file.type;
  const type = KINDS[media_type];
  if (type === undefined) throw new Error(`“${file.name}” is neither a picture, a PDF nor a text.`);
  if (file.size > MOST) throw new Error(`“${file.name}” is larger than 5 MiB.`);
  return { type, media_type, name: file.name, data: await base64(file) };
}

function base64(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => reject(new Error(`“${file.name}” cannot be read.`));
    reader.readAsDataURL(file);
  });
}
