export const ENTRIES = ['10'];
export default async function play() {}
